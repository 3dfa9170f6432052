-- Purchases, set-based: the wallets of a batch are charged by one call, its orders and licences written by one statement.
alter table store_order add column credit_minor bigint not null default 0;  -- of the total, what went on the member's account (credit limit)
alter type order_result add attribute credit_minor bigint;
alter type order_request add attribute consumption_order text;

-- A batch may write for the members it is for, and for no one else; it still reads each member's rows under that member alone.
-- The list is read once a statement.
create policy batch_rows on store_order for insert to app_member with check (member_id = any ((select acting_members())::uuid[]));
create policy batch_rows on license for insert to app_member with check (member_id = any ((select acting_members())::uuid[]));

-- Write orders and their licences; `charges` stands in the order of `requests`. With the caller's own rights.
create function record_orders(requests order_request[], charges charge_result[]) returns void language sql as $$
  with q as (
    select r.*, c.paid_minor, c.bonus_minor, c.credit_minor, c.balance_after_minor
    from unnest(requests) with ordinality r join unnest(charges) with ordinality c using (ordinality)),
  ordered as (
    insert into store_order (member_id, id, request_hash, listing_id, version, quantity, price_minor, total_minor, tax_minor, currency,
        paid_minor, bonus_minor, credit_minor, balance_after_minor, state, offer_id, csm_id, placed_by, at)
    select q.member_id, q.id, q.request_hash, q.listing_id, q.version, q.quantity, q.price_minor, q.price_minor * q.quantity, q.tax_minor, q.currency,
        q.paid_minor, q.bonus_minor, q.credit_minor, q.balance_after_minor, 'completed', q.offer_id, q.csm_id, q.placed_by, q.at from q)
  insert into license (member_id, id, listing_id, version, quantity, state, is_exclusive, starts_at)
    select q.member_id, q.id, q.listing_id, q.version, q.quantity, 'active', q.is_exclusive, q.at from q
$$;

-- What became of a purchase that was not charged just now: its first order, or why there is none. A free one is recorded here: its own key makes it once.
create function settle_order(r order_request, c charge_result, is_for_sale boolean, is_owned boolean) returns order_result language plpgsql as $$
declare first store_order; balance bigint;
begin
  perform set_config('app.member_id', r.member_id::text, true);
  select * into first from store_order o where o.member_id = r.member_id and o.id = r.id;
  if found then
    return (case when first.request_hash = r.request_hash then 'replayed' else 'id_reused' end, 0, first.paid_minor, first.bonus_minor,
      first.balance_after_minor, first.at, first.credit_minor)::order_result;
  elsif is_owned or not is_for_sale then  -- the licence is there already, or the listing has changed since the quote
    return (case when is_owned then 'already_owned' else 'stale' end, 0, 0, 0, 0, r.at, 0)::order_result;
  elsif c.status is not null then
    return (case c.status when 'replayed' then 'id_reused' else c.status end, c.missing_minor, 0, 0, c.balance_after_minor, r.at, 0)::order_result;
  end if;
  balance := (select w.paid_minor + w.bonus_minor from wallet w where w.member_id = r.member_id and w.currency = r.currency);
  perform record_orders(array[r], array[(r.member_id, r.id, 'new', 0, 0, 0, balance, 0)::charge_result]);
  return ('new', 0, 0, 0, balance, r.at, 0)::order_result;
end $$;

-- Purchases of one or several members: new, replayed, id_reused, stale, already_owned, insufficient_funds or frozen, in the order of the requests.
-- A refusal is a status and leaves its neighbours alone; an error undoes the whole batch, and the caller repeats each by itself.
create or replace function place_orders(requests order_request[]) returns setof order_result
language plpgsql set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
declare
  me uuid := acting_member(); r order_request; c charge_result; results order_result[]; for_sale boolean[]; owned boolean[] := '{}';
  asked charge_request[] := '{}'; charges charge_result[]; made order_request[] := '{}'; made_charges charge_result[] := '{}';
  asked_places int[] := '{}'; other_places int[] := '{}'; other_charges charge_result[] := '{}'; k int; n int;
begin
  if cardinality(requests) > 1 then
    perform set_config('lock_timeout', '250ms', true);  -- one wallet that is locked for long must not hold up the others
  end if;
  for_sale := array(select exists (select from listing l where l.id = q.listing_id and l.revision = q.listing_revision and l.state = 'published')
                    from unnest(requests) with ordinality q order by q.ordinality);
  for n in 1..cardinality(requests) loop
    r := requests[n];
    if r.member_id <> me then
      raise insufficient_privilege using message = 'a member may buy for itself only';
    end if;
    if r.is_exclusive then
      perform set_config('app.member_id', r.member_id::text, true);
      owned[n] := exists (select from license x where x.member_id = r.member_id and x.listing_id = r.listing_id and x.is_exclusive and x.state <> 'ended');
    end if;
    if for_sale[n] and owned[n] is not true and r.price_minor > 0 then
      asked_places := asked_places || n;
      asked := asked || (r.member_id, r.id, r.request_hash, 'purchase', r.currency, r.at, null, r.targets, r.amounts, r.bonus_limits, null,
        r.consumption_order)::charge_request;
    else
      other_places := other_places || n; other_charges := other_charges || null::charge_result;
    end if;
  end loop;

  perform set_config('app.batch_members', array(select distinct q.member_id from unnest(requests) q)::text, true);
  charges := array(select charge_many(asked));
  for k in 1..cardinality(asked) loop
    n := asked_places[k]; c := charges[k];
    if c.status = 'new' then
      made := made || requests[n]; made_charges := made_charges || c;
      results[n] := ('new', 0, c.paid_minor, c.bonus_minor, c.balance_after_minor, (requests[n]).at, c.credit_minor)::order_result;
    else
      other_places := other_places || n; other_charges := other_charges || c;
    end if;
  end loop;
  if made <> '{}' then
    perform record_orders(made, made_charges);
  end if;
  for k in 1..cardinality(other_places) loop
    n := other_places[k];
    results[n] := settle_order(requests[n], other_charges[k], for_sale[n], coalesce(owned[n], false));
  end loop;
  perform set_config('app.batch_members', '', true);
  return query select * from unnest(results);
end $$;

-- Likewise: row-level security lets an order be written for the acting members only, and a licence carries its order's listing.
alter table store_order drop constraint store_order_member_id_fkey;
alter table license drop constraint license_listing_id_fkey;

drop function place_order(order_request);
revoke execute on function record_orders, settle_order, place_orders from public;
grant execute on function record_orders, settle_order, place_orders to app_member;
