-- A second lane takes the due subscriptions from the other end (decision 0064). The two functions are those of 0442, with `from_end`.
drop function renew_due(timestamptz, bigint, uuid[], boolean, uuid, bigint[], bigint, bigint, text);
drop function hold_due(timestamptz, bigint, uuid[], boolean);

-- The subscriptions of a batch, locked, by instant, then by member, and where they stand. from_end: the last ones, the last first.
create function hold_due(at timestamptz, most bigint, of_members uuid[], only_paid boolean, from_end boolean, out due subscription[], out places tid[])
language plpgsql set plan_cache_mode = force_custom_plan set enable_seqscan = off as $$
#variable_conflict use_column
begin
  if only_paid then
    select array_agg(v.s), array_agg(v.place) into due, places
      from (select s, s.ctid as place from subscription s where s.member_id = any(of_members) and s.state = 'past_due' for no key update skip locked) v;
  elsif of_members is not null then
    select array_agg(v.s), array_agg(v.place) into due, places
      from (select s, s.ctid as place from subscription s where s.member_id = any(of_members) and s.state in ('trialing', 'active', 'past_due')
              and s.next_attempt_at <= hold_due.at order by s.next_attempt_at, s.member_id limit most for no key update skip locked) v;
  elsif from_end then
    select array_agg(v.s), array_agg(v.place) into due, places
      from (select s, s.ctid as place from subscription s where s.state in ('trialing', 'active', 'past_due') and s.next_attempt_at <= hold_due.at
            order by s.next_attempt_at desc, s.member_id desc limit most for no key update skip locked) v;
  else
    select array_agg(v.s), array_agg(v.place) into due, places
      from (select s, s.ctid as place from subscription s where s.state in ('trialing', 'active', 'past_due') and s.next_attempt_at <= hold_due.at
            order by s.next_attempt_at, s.member_id limit most for no key update skip locked) v;
  end if;
end $$;

-- Renew up to `most` subscriptions that are due at `at`; call it until it returns nothing but 'waiting'.
-- of_members: only these. only_paid: what these members owe, whenever it is tried next, as far as the wallet goes; nothing is written about the rest.
-- retry_days: when an unpaid one is tried again, in days from the first attempt; suspended after suspend_days, ended after end_days.
-- `skip locked`: two runs share the work. from_end: start with the last ones, so that two lanes do not walk over each other's rows. A subscription whose member has an earlier one due that is not in this batch is 'waiting', so
-- the subscriptions of one wallet are served in the order in which their terms ended, whoever serves them.
create function renew_due(
  at timestamptz, most bigint, of_members uuid[], only_paid boolean, run uuid, retry_days bigint[], suspend_days bigint, end_days bigint, consumption_order text,
  from_end boolean default false
) returns setof renewal_outcome language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set work_mem = '64MB' as $$
#variable_conflict use_column
declare due subscription[]; places tid[]; members uuid[]; early uuid[] := '{}'; coming next_term[]; charged charge_status[]; judged renewal_verdict[];
begin
  select h.* into due, places from hold_due(renew_due.at, most, of_members, only_paid, from_end) h;
  if due is null then
    return;
  end if;
  if not only_paid then
    -- Members with more due than is in this batch: one walk along the index tells that there are none.
    members := array(select d.member_id from unnest(due) d);
    if (select count(*) filter (where x.state in ('trialing', 'active', 'past_due') and x.next_attempt_at <= renew_due.at)
        from (select y.state, y.next_attempt_at from subscription y where y.member_id = any(members) and y.state <> 'ended' offset 0) x) > cardinality(due) then
      early := array(select d.id from unnest(due) d
        join lateral (select y.* from subscription y where y.member_id = d.member_id and y.state <> 'ended' offset 0) x
          on x.id <> d.id and x.state in ('trialing', 'active', 'past_due') and x.next_attempt_at <= renew_due.at
          and (x.term_end, x.started_at, x.id) < (d.term_end, d.started_at, d.id)
        where not exists (select from unnest(due) y where y.member_id = x.member_id and y.id = x.id));
    end if;
    if cardinality(early) > 0 then
      return query select d.member_id, d.id, d.product_line, d.currency, d.term + 1, 'waiting', 0::bigint, 0::bigint, 0::bigint, null::uuid, d.term_end,
        d.term_end, d.next_attempt_at, null from unnest(due) d where d.id = any(early);
      select array_agg(d.s), array_agg(d.place) into due, places from (select unnest(due) as s, unnest(places) as place) d where (d.s).id <> all(early);
      if due is null then
        return;
      end if;
    end if;
  end if;
  coming := array(select n from next_terms(due) n);
  charged := array(select (c.id, c.status, c.missing_minor)::charge_status from charge_many(array(
    select (n.member_id, n.charge_id, sha256(convert_to('renewal:' || n.id || ':' || n.term || ':' || n.price_minor, 'UTF8')), 'subscription', n.currency,
      renew_due.at, null, case when n.tax_minor > 0 then array[26, 27] else array[26] end,
      case when n.tax_minor > 0 then array[n.price_minor - n.tax_minor, n.tax_minor] else array[n.price_minor] end,
      case when n.tax_minor > 0 then array[n.price_minor - n.tax_minor, 0] else array[n.price_minor] end, null, renew_due.consumption_order)::charge_request
    from unnest(coming) n where n.is_charged)) c);
  judged := judge_renewals(coming, charged, renew_due.at, only_paid, retry_days, suspend_days, end_days);
  perform write_renewals(judged, places, renew_due.at, run, suspend_days, end_days);
  return query select j.member_id, j.id, j.product_line, j.currency, j.term, j.outcome, case when j.outcome in ('ended', 'parked') then 0 else j.price_minor end, j.tax_minor,
    case when j.outcome in ('past_due', 'suspended', 'lapsed') then j.lacking_minor else 0 end, j.charge_id, j.begins_at, j.ends_at,
    case j.outcome when 'renewed' then j.ends_at else j.retry_at end, j.fault
  from unnest(judged) j;
end $$;

revoke execute on function renew_due, hold_due from public;
grant execute on function renew_due, hold_due to app_staff, app_system;
