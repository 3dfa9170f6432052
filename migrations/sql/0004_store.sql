-- Purchases: charge the wallet, record order and licence. They run with the caller's own rights, so row-level security holds.
create type order_request as (
  member_id uuid, id uuid, request_hash bytea, listing_id uuid, listing_revision bigint, version text, quantity bigint,
  price_minor bigint, tax_minor bigint, currency text, targets smallint[], amounts bigint[], bonus_limits bigint[], is_exclusive boolean,
  offer_id uuid, csm_id uuid, placed_by uuid, at timestamptz
);
create type order_result as (status text, missing_minor bigint, paid_minor bigint, bonus_minor bigint, balance_after_minor bigint, at timestamptz);

-- One purchase under its own member: new, replayed, id_reused, stale, already_owned, insufficient_funds or frozen.
create function place_order(r order_request) returns order_result language plpgsql as $$
declare c charge_result; first store_order; for_sale boolean; owned boolean := false;
begin
  perform set_config('app.member_id', r.member_id::text, true);
  for_sale := exists (select from listing l where l.id = r.listing_id and l.revision = r.listing_revision and l.state = 'published');
  if r.is_exclusive then
    owned := exists (select from license x where x.member_id = r.member_id and x.listing_id = r.listing_id and x.is_exclusive and x.state <> 'ended');
  end if;
  if for_sale and not owned and r.price_minor > 0 then
    c := charge_many(array[(r.member_id, r.id, r.request_hash, 'purchase', r.currency, r.at, null, r.targets, r.amounts, r.bonus_limits)::charge_request]);
  elsif for_sale and not owned then  -- free: no money moves, the order's own key makes it once
    c := (r.member_id, r.id, 'new', 0, 0, 0, (select w.paid_minor + w.bonus_minor from wallet w where w.member_id = r.member_id and w.currency = r.currency));
  end if;
  if c.status is distinct from 'new' or r.price_minor = 0 then
    select * into first from store_order o where o.member_id = r.member_id and o.id = r.id;
    if found then
      return (case when first.request_hash = r.request_hash then 'replayed' else 'id_reused' end, 0, first.paid_minor, first.bonus_minor, first.balance_after_minor, first.at)::order_result;
    elsif c.status is null then  -- the listing changed since the quote, or the licence is there already
      return (case when owned then 'already_owned' else 'stale' end, 0, 0, 0, 0, r.at)::order_result;
    elsif c.status <> 'new' then
      return (case c.status when 'replayed' then 'id_reused' else c.status end, c.missing_minor, 0, 0, c.balance_after_minor, r.at)::order_result;
    end if;
  end if;
  insert into store_order (member_id, id, request_hash, listing_id, version, quantity, price_minor, total_minor, tax_minor, currency,
      paid_minor, bonus_minor, balance_after_minor, state, offer_id, csm_id, placed_by, at)
    values (r.member_id, r.id, r.request_hash, r.listing_id, r.version, r.quantity, r.price_minor, r.price_minor * r.quantity, r.tax_minor, r.currency,
      c.paid_minor, c.bonus_minor, c.balance_after_minor, 'completed', r.offer_id, r.csm_id, r.placed_by, r.at);
  insert into license (member_id, id, listing_id, version, quantity, state, is_exclusive, starts_at)
    values (r.member_id, r.id, r.listing_id, r.version, r.quantity, 'active', r.is_exclusive, r.at);
  return ('new', 0, c.paid_minor, c.bonus_minor, c.balance_after_minor, r.at)::order_result;
end $$;

-- Purchases of several members, given in member order and so locked in member order: two batches never wait for each other in a circle.
-- A refusal is a status and leaves its neighbours alone; an error undoes the whole batch, and the caller repeats each by itself.
create function place_orders(requests order_request[]) returns setof order_result language plpgsql as $$
declare r order_request; before uuid;
begin
  if cardinality(requests) > 1 then
    perform set_config('lock_timeout', '250ms', true);  -- one wallet that is locked for long must not hold up the others
  end if;
  foreach r in array requests loop
    assert before is null or before <= r.member_id, 'purchases are placed in member order';
    before := r.member_id;
    return next place_order(r);
  end loop;
end $$;

revoke execute on function place_order, place_orders from public;
grant execute on function place_order, place_orders to app_member;

-- As with ledger_transaction: found by id, never by walking all that a member has.
alter table store_order alter column member_id set (n_distinct = -0.01);
alter table license alter column member_id set (n_distinct = -0.01);
