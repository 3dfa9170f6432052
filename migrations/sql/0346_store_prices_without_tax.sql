-- Store prices without tax (decision 0049). A listing says of its price whether tax comes on top; an order keeps what was shown and paid, with tax; a licence
-- keeps the price as it was stated, so that later terms carry the tax of their day. Services and runs keep prices with tax: milestones and
-- caps share one sum.
alter table listing add column excludes_tax boolean not null default false,
  add constraint listing_excludes_tax_check check (not (excludes_tax and (kind = 'service' or pricing = 'usage')));
alter table license add column excludes_tax boolean not null default false;

-- The tax of all pieces is rounded once, so a total may be off the shown price of one times the quantity, by half a unit a piece at most.
alter table store_order add column excludes_tax boolean not null default false, drop constraint store_order_total_check,
  add constraint store_order_total_check check (quantity >= 1 and discount_minor >= 0 and total_minor >= 0
    and case when excludes_tax then 2 * abs(total_minor + discount_minor - price_minor * quantity) <= quantity
      else total_minor = price_minor * quantity - discount_minor end);

alter type order_request add attribute excludes_tax boolean;

-- As in 0204; what is paid for a price without tax is the sum of the parts that were charged.
create or replace function record_orders(requests order_request[], charges charge_result[]) returns void
language plpgsql set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
begin
  with q as (
    select r.*, c.paid_minor, c.bonus_minor, c.credit_minor, c.balance_after_minor
    from unnest(requests) with ordinality r join unnest(charges) with ordinality c using (ordinality)),
  ordered as (
    insert into store_order (member_id, id, request_hash, listing_id, version, quantity, price_minor, total_minor, tax_minor, currency,
        paid_minor, bonus_minor, credit_minor, balance_after_minor, state, offer_id, csm_id, placed_by, at, excludes_tax)
    select q.member_id, q.id, q.request_hash, q.listing_id, q.version, q.quantity, q.price_minor,
        case when q.excludes_tax then (select sum(part) from unnest(q.amounts) part) else q.price_minor * q.quantity end, q.tax_minor, q.currency,
        q.paid_minor, q.bonus_minor, q.credit_minor, q.balance_after_minor, 'completed', q.offer_id, q.csm_id, q.placed_by, q.at, q.excludes_tax from q)
  insert into license (member_id, id, listing_id, version, quantity, state, is_exclusive, starts_at)
    select q.member_id, q.id, q.listing_id, q.version, q.quantity, 'active', q.is_exclusive, q.at from q;
end $$;
