-- As in 0202, but in PL/pgSQL, which keeps its plans: before version 18 PostgreSQL plans what a function in SQL says anew at every call.
create or replace function record_orders(requests order_request[], charges charge_result[]) returns void
language plpgsql set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
begin
  with q as (
    select r.*, c.paid_minor, c.bonus_minor, c.credit_minor, c.balance_after_minor
    from unnest(requests) with ordinality r join unnest(charges) with ordinality c using (ordinality)),
  ordered as (
    insert into store_order (member_id, id, request_hash, listing_id, version, quantity, price_minor, total_minor, tax_minor, currency,
        paid_minor, bonus_minor, credit_minor, balance_after_minor, state, offer_id, csm_id, placed_by, at)
    select q.member_id, q.id, q.request_hash, q.listing_id, q.version, q.quantity, q.price_minor, q.price_minor * q.quantity, q.tax_minor, q.currency,
        q.paid_minor, q.bonus_minor, q.credit_minor, q.balance_after_minor, 'completed', q.offer_id, q.csm_id, q.placed_by, q.at from q)
  insert into license (member_id, id, listing_id, version, quantity, state, is_exclusive, starts_at)
    select q.member_id, q.id, q.listing_id, q.version, q.quantity, 'active', q.is_exclusive, q.at from q;
end $$;

-- As in 0202, but the members of a batch are told without a query.
create or replace function place_orders(requests order_request[]) returns setof order_result
language plpgsql set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
declare
  me uuid := acting_member(); r order_request; c charge_result; results order_result[]; for_sale boolean[]; owned boolean[] := '{}';
  asked charge_request[] := '{}'; charges charge_result[]; made order_request[] := '{}'; made_charges charge_result[] := '{}';
  members uuid[] := '{}'; asked_places int[] := '{}'; other_places int[] := '{}'; other_charges charge_result[] := '{}'; k int; n int;
begin
  if cardinality(requests) > 1 then
    perform set_config('lock_timeout', '250ms', true);  -- one wallet that is locked for long must not hold up the others
  end if;
  for_sale := array(select exists (select from listing l where l.id = q.listing_id and l.revision = q.listing_revision and l.state = 'published')
                    from unnest(requests) with ordinality q order by q.ordinality);
  for n in 1..cardinality(requests) loop
    r := requests[n]; members := members || r.member_id;
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

  perform set_config('app.batch_members', members::text, true);
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
