-- A purchase as one call: charge the wallet, record order and licence. It runs with the caller's own rights, so row-level security holds.
create type order_result as (status text, missing_minor bigint, paid_minor bigint, bonus_minor bigint, balance_after_minor bigint, at timestamptz);

create function place_order(
  m uuid, i uuid, hash bytea, listing_id uuid, listing_revision bigint, version text, quantity bigint, price bigint, tax bigint, currency text,
  targets smallint[], amounts bigint[], bonus_limits bigint[], exclusive boolean, ends_at timestamptz,
  offer uuid, csm uuid, placed_by uuid, at timestamptz
) returns order_result language plpgsql as $$
#variable_conflict use_column
declare c charge_result; first store_order;
begin
  perform set_config('app.member_id', m::text, true);
  perform from listing l where l.id = place_order.listing_id and l.revision = listing_revision and l.state = 'published';
  if found and price > 0 then
    select * into c from charge_many(array[row(m, i, hash, 'purchase', place_order.currency, place_order.at, null, targets, amounts, bonus_limits)::charge_request]);
  elsif found then  -- free: no money moves, the order's own key makes it once
    c := (m, i, 'new', 0, 0, 0, (select w.paid_minor + w.bonus_minor from wallet w where w.member_id = m and w.currency = place_order.currency));
  end if;
  if c.status is distinct from 'new' or price = 0 then
    select * into first from store_order o where o.member_id = m and o.id = i;
    if found then
      return (case when first.request_hash = hash then 'replayed' else 'id_reused' end, 0, first.paid_minor, first.bonus_minor, first.balance_after_minor, first.at)::order_result;
    elsif c.status is null then
      return ('stale', 0, 0, 0, 0, place_order.at)::order_result;  -- the listing changed since the quote
    elsif c.status <> 'new' then
      return (case c.status when 'replayed' then 'id_reused' else c.status end, c.missing_minor, 0, 0, c.balance_after_minor, place_order.at)::order_result;
    end if;
  end if;
  insert into store_order (member_id, id, request_hash, listing_id, version, quantity, price_minor, total_minor, tax_minor, currency,
      paid_minor, bonus_minor, balance_after_minor, state, offer_id, csm_id, placed_by, at)
    values (m, i, hash, place_order.listing_id, place_order.version, place_order.quantity, price, price * place_order.quantity, tax, place_order.currency,
      c.paid_minor, c.bonus_minor, c.balance_after_minor, 'completed', offer, csm, place_order.placed_by, place_order.at);
  insert into license (member_id, id, listing_id, version, quantity, state, is_exclusive, starts_at, ends_at)
    values (m, i, place_order.listing_id, place_order.version, place_order.quantity, 'active', exclusive, place_order.at, place_order.ends_at);
  return ('new', 0, c.paid_minor, c.bonus_minor, c.balance_after_minor, place_order.at)::order_result;
end $$;
revoke execute on function place_order from public;
grant execute on function place_order to app_member;
