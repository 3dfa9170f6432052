-- A batch is a stretch of what is due (decision 0064): lanes have stretches of their own, and nobody walks past what is done or held by another lane.
drop function renew_due(timestamptz, bigint, uuid[], boolean, uuid, bigint[], bigint, bigint, text, boolean);
drop function hold_due(timestamptz, bigint, uuid[], boolean, boolean);

-- What a batch's members share is joined by hash whatever its size, so that its plan need not be made anew for each.
alter function next_terms(subscription[]) set plan_cache_mode = force_generic_plan;

-- The subscriptions of a batch, locked, by instant, then by member, and where they stand. after_, until_: of those, what comes after one place in this
-- order, up to another one and with it; null: from the first, to the last.
create function hold_due(
  at timestamptz, most bigint, of_members uuid[], only_paid boolean, after_at timestamptz, after_member uuid, until_at timestamptz, until_member uuid,
  out due subscription[], out places tid[]
) language plpgsql set plan_cache_mode = force_custom_plan set enable_seqscan = off as $$
#variable_conflict use_column
begin
  if only_paid then
    select array_agg(v.s), array_agg(v.place) into due, places
      from (select s, s.ctid as place from subscription s where s.member_id = any(of_members) and s.state = 'past_due' for no key update skip locked) v;
  elsif of_members is not null then
    select array_agg(v.s), array_agg(v.place) into due, places
      from (select s, s.ctid as place from subscription s where s.member_id = any(of_members) and s.state in ('trialing', 'active', 'past_due')
              and s.next_attempt_at <= hold_due.at order by s.next_attempt_at, s.member_id limit most for no key update skip locked) v;
  else
    select array_agg(v.s), array_agg(v.place) into due, places
      from (select s, s.ctid as place from subscription s where s.state in ('trialing', 'active', 'past_due') and s.next_attempt_at <= hold_due.at
              and (s.next_attempt_at, s.member_id) > (coalesce(after_at, '-infinity'), coalesce(after_member, '00000000-0000-0000-0000-000000000000'))
              and (s.next_attempt_at, s.member_id) <= (coalesce(until_at, hold_due.at), coalesce(until_member, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
            order by s.next_attempt_at, s.member_id limit most for no key update skip locked) v;
  end if;
end $$;

alter type renewal_verdict add attribute was_active boolean;

-- renewed; past_due (tried again by plan); suspended (the same, entitlements off); lapsed (unpaid for too long: it ends and the charge is void); ended
-- (cancelled); parked (it cannot be judged: nothing is charged until finance lets it go on).
create or replace function judge_renewals(
  coming next_term[], charged charge_status[], at timestamptz, only_paid boolean, retry_days bigint[], suspend_days bigint, end_days bigint
) returns renewal_verdict[] language sql stable as $$
  select array(
    select (v.member_id, v.id, v.outcome, v.product_line, v.currency, v.timezone, v.is_perpetual, v.was_rank, v.was_seats, v.was_period,
      v.term, v.rank, v.seats, v.period, v.begins_at, v.ends_at, v.price_minor, v.tax_minor, v.same_minor, v.between_minor, v.priced_at, v.charge_id, v.motion,
      case v.motion when 'new' then 0 else v.was_price_minor * terms_a_year(v.was_period) end,
      v.due_at is not null, v.rank <> v.was_rank or v.seats <> v.was_seats or v.period <> v.was_period, v.is_told or v.state = 'past_due', v.owed_at,
      case when v.outcome in ('past_due', 'suspended') then (
        select min(v.owed_at + make_interval(hours => 24 * d::int)) from unnest(retry_days || suspend_days || end_days) d
        where v.owed_at + make_interval(hours => 24 * d::int) > judge_renewals.at) end,
      case when v.status is null then 0 else coalesce(nullif(v.missing_minor, 0), v.price_minor) end,  -- a frozen wallet lacks all of it
      case when v.status = 'id_reused' then 'id_reused' else v.fault end, v.nth, v.state = 'active')::renewal_verdict
    from (
      select n.*, coalesce(n.due_at, judge_renewals.at) as owed_at,
        case when n.is_charged and n.charged_id is distinct from n.charge_id then null  -- never: see write_renewals
          when n.is_cancelled then 'ended' when n.fault is not null or n.status = 'id_reused' then 'parked'
          when n.status is null or n.status in ('new', 'replayed') then 'renewed'
          when judge_renewals.at < coalesce(n.due_at, judge_renewals.at) + make_interval(hours => 24 * suspend_days::int) then 'past_due'
          when judge_renewals.at < coalesce(n.due_at, judge_renewals.at) + make_interval(hours => 24 * end_days::int) then 'suspended'
          else 'lapsed' end as outcome
      from rows from (unnest(coming), unnest(charged)) n offset 0
    ) v where v.outcome = 'renewed' or v.outcome is null or not only_paid)
$$;

-- As in 0442, but what was not renewed is picked out once, not by each statement that is about it alone, and the state is written where it changes: a
-- trigger looks at every row whose state is written.
create or replace function write_renewals(judged renewal_verdict[], places tid[], at timestamptz, run uuid, suspend_days bigint, end_days bigint) returns void language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
declare
  others renewal_verdict[]; of_note renewal_verdict[]; are_renewed boolean; were_active boolean; is_any_owed boolean; is_any_new boolean;
  is_any_changed boolean; is_any_announced boolean; renewed bigint; written bigint;
begin
  select array_agg(j) filter (where j.outcome <> 'renewed'), bool_and(j.outcome = 'renewed'), bool_and(j.was_active), bool_or(j.was_owed),
      bool_or(j.motion <> 'renewal'), bool_or(j.is_changed), bool_or(j.is_announced), count(*) filter (where j.outcome = 'renewed'), count(j.outcome)
    into others, are_renewed, were_active, is_any_owed, is_any_new, is_any_changed, is_any_announced, renewed, written from unnest(judged) j;
  assert written = cardinality(judged), 'charges stand in the order of the requests';

  update subscription s set term = j.term, rank = j.rank, seats = j.seats, period = j.period,
      next_rank = case when s.committed_until > s.term_end then s.next_rank end, next_seats = case when s.committed_until > s.term_end then s.next_seats end,
      next_period = case when s.committed_until > s.term_end then s.next_period end,
      term_start = j.begins_at, term_end = j.ends_at, term_price_minor = j.price_minor, priced_at = j.priced_at, worth_offset = 0, paused_units = 0,
      next_attempt_at = j.ends_at, failed_attempts = 0, suspended_at = null
    from unnest(judged) j where j.outcome = 'renewed' and s.ctid = places[j.nth] and s.id = j.id;
  get diagnostics written = row_count;
  assert written = renewed, 'every renewed subscription is written';
  if not were_active then
    update subscription s set state = 'active'
      from unnest(judged) j where j.outcome = 'renewed' and not j.was_active and s.member_id = j.member_id and s.id = j.id;
  end if;
  if not are_renewed then
    update subscription s set state = 'past_due', next_attempt_at = j.retry_at, failed_attempts = s.failed_attempts + 1,
        suspended_at = case j.outcome when 'suspended' then coalesce(s.suspended_at, write_renewals.at) end
      from unnest(others) j where j.outcome in ('past_due', 'suspended') and s.member_id = j.member_id and s.id = j.id;
    update subscription s set next_attempt_at = null, suspended_at = null,  -- what was bought for good stays, without maintenance
        state = case when j.is_perpetual then 'active' else 'ended' end,
        ended_at = case when j.is_perpetual then null when j.outcome = 'ended' then j.begins_at else write_renewals.at end,
        period = case when j.is_perpetual then 'once' else s.period end, term_end = case when j.is_perpetual then timestamptz '9999-01-01 00:00+00' else s.term_end end,
        term_price_minor = case when j.is_perpetual then 0 else s.term_price_minor end, cancel_at_term_end = s.cancel_at_term_end and not j.is_perpetual
      from unnest(others) j where j.outcome in ('ended', 'lapsed') and s.member_id = j.member_id and s.id = j.id;
    update subscription s set next_attempt_at = null, parked_at = write_renewals.at, parked_reason = j.fault
      from unnest(others) j where j.outcome = 'parked' and s.member_id = j.member_id and s.id = j.id;
  end if;

  insert into subscription_charge (member_id, id, subscription_id, motion, term, currency, amount_minor, tax_minor, service_from, service_until, state, due_at,
      paid_at, run_id, motion_rank, motion_seats, arr_before_minor, arr_after_minor)
    select j.member_id, j.charge_id, j.id, j.motion, j.term, j.currency, j.price_minor, j.tax_minor, j.begins_at, j.ends_at,
      case j.outcome when 'renewed' then 'paid' else 'unpaid' end, j.owed_at, case j.outcome when 'renewed' then write_renewals.at end,
      case j.outcome when 'renewed' then run end, k.rank, k.seats, k.arr_before, k.arr_after
    from unnest(judged) j
    left join lateral (select j.was_rank, j.was_seats, j.arr_minor, j.same_minor * terms_a_year(j.was_period) where j.outcome = 'renewed' and j.motion = 'renewal')
      k(rank, seats, arr_before, arr_after) on true
    where j.outcome in ('renewed', 'past_due', 'suspended') and not j.was_owed;
  if is_any_owed then
    update subscription_charge c set amount_minor = j.price_minor, tax_minor = j.tax_minor, run_id = case j.outcome when 'renewed' then run end,
        state = case j.outcome when 'renewed' then 'paid' when 'lapsed' then 'void' else 'unpaid' end,
        paid_at = case j.outcome when 'renewed' then write_renewals.at end
      from unnest(judged) j where j.was_owed and j.outcome in ('renewed', 'past_due', 'suspended', 'lapsed') and c.member_id = j.member_id and c.id = j.charge_id;
  end if;

  -- Motions, each with its own step of ARR: the renewal at what it would have cost unchanged, then what was planned for it.
  if not are_renewed or is_any_owed or is_any_new then
    of_note := case when is_any_owed or is_any_new then judged else others end;
    insert into subscription_motion (member_id, id, subscription_id, motion, at, amount_minor, currency, term, rank, seats, arr_before_minor, arr_after_minor)
      select j.member_id, case when j.outcome = 'renewed' then j.charge_id else named_id('motion:' || j.outcome || ':' || j.charge_id) end, j.id,
        case j.outcome when 'renewed' then j.motion when 'past_due' then 'past_due' when 'suspended' then 'past_due' else 'lapse' end, write_renewals.at,
        case j.outcome when 'renewed' then j.price_minor else 0 end, j.currency, case j.outcome when 'renewed' then j.term else j.term - 1 end,
        case when j.outcome = 'renewed' and j.motion = 'new' then j.rank else j.was_rank end, case when j.outcome = 'renewed' and j.motion = 'new' then j.seats else j.was_seats end,
        j.arr_minor, case when j.outcome in ('past_due', 'suspended') then j.arr_minor when j.outcome <> 'renewed' then 0
          when j.motion = 'new' then j.price_minor * terms_a_year(j.period) else j.same_minor * terms_a_year(j.was_period) end
      from unnest(of_note) j where j.outcome in ('ended', 'lapsed') or j.outcome = 'renewed' and (j.was_owed or j.motion <> 'renewal')
        or j.outcome in ('past_due', 'suspended') and not j.was_owed;
  end if;
  if is_any_changed then
    insert into subscription_motion (member_id, id, subscription_id, motion, at, amount_minor, currency, term, rank, seats, arr_before_minor, arr_after_minor)
      select j.member_id, named_id('motion:' || m.motion || ':' || j.charge_id), j.id, m.motion, write_renewals.at, 0, j.currency, j.term, j.rank, m.seats, m.before, m.after
      from unnest(judged) j cross join lateral (values
        (1, case when j.rank > j.was_rank then 'upgrade' else 'downgrade' end, j.rank <> j.was_rank, j.was_seats, j.same_minor * terms_a_year(j.was_period), j.between_minor * terms_a_year(j.period)),
        (2, 'period', j.period <> j.was_period, j.was_seats, case when j.rank <> j.was_rank then j.between_minor * terms_a_year(j.period) else j.same_minor * terms_a_year(j.was_period) end,
          j.between_minor * terms_a_year(j.period)),
        (3, 'seats', j.seats <> j.was_seats, j.seats, j.between_minor * terms_a_year(j.period), j.price_minor * terms_a_year(j.period))
      ) m(n, motion, is_wanted, seats, before, after)
      where j.outcome = 'renewed' and j.motion <> 'new' and j.is_changed and m.is_wanted order by j.member_id, j.id, m.n;
  end if;

  if not are_renewed then  -- a renewal that went as announced is not told again: the member's page shows it from the charge (decision 0024)
    insert into notice (member_id, id, kind, details, at)
      select j.member_id, named_id('notice:' || k.kind || ':' || j.charge_id), k.kind,
        jsonb_build_object('subscription_id', j.id, 'name_zh', l.name_zh || ' · ' || e.name_zh, 'name_en', l.name_en || ' · ' || e.name_en, 'currency', j.currency,
          'amount_minor', j.price_minor, 'missing_minor', j.lacking_minor, 'at', (case j.outcome when 'ended' then j.begins_at else write_renewals.at end at time zone j.timezone)::date,
          'suspended_on', ((j.owed_at + make_interval(hours => 24 * suspend_days::int)) at time zone j.timezone)::date,
          'until', ((j.owed_at + make_interval(hours => 24 * end_days::int)) at time zone j.timezone)::date), write_renewals.at
      from unnest(others) j
      join lateral (select case when j.outcome = 'ended' then 'subscription_ended' when j.outcome = 'lapsed' then 'subscription_lapsed'
        when j.outcome = 'suspended' then 'subscription_suspended' else 'subscription_past_due' end) k(kind) on true
      join product_line l on l.code = j.product_line join edition e on e.product_line = j.product_line and e.rank = j.was_rank
      where j.outcome in ('ended', 'lapsed', 'suspended') or j.outcome = 'past_due' and not j.was_owed
      on conflict do nothing;
  end if;
  if is_any_announced then  -- what no longer holds needs nobody's attention
    update notice x set read_at = write_renewals.at
      from unnest(judged) j where j.is_announced and j.outcome <> 'parked' and x.member_id = j.member_id and x.read_at is null
        and x.details ->> 'subscription_id' = j.id::text and x.kind = any (case when j.outcome = 'past_due' then array['renewal_upcoming']
          when j.outcome = 'suspended' then array['renewal_upcoming', 'subscription_past_due'] else array['renewal_upcoming', 'subscription_past_due', 'subscription_suspended'] end);
  end if;
end $$;

-- Renew up to `most` subscriptions that are due at `at`; call it until it returns nothing but 'waiting'.
-- of_members: only these. only_paid: what these members owe, whenever it is tried next, as far as the wallet goes; nothing is written about the rest.
-- retry_days: when an unpaid one is tried again, in days from the first attempt; suspended after suspend_days, ended after end_days.
-- after_, until_: only this stretch (hold_due). `skip locked`: runs share the work. A subscription whose member has an earlier one due that is not in
-- this batch is 'waiting', so the subscriptions of one wallet are served in the order in which their terms ended, whoever serves them.
create function renew_due(
  at timestamptz, most bigint, of_members uuid[], only_paid boolean, run uuid, retry_days bigint[], suspend_days bigint, end_days bigint, consumption_order text,
  after_at timestamptz default null, after_member uuid default null, until_at timestamptz default null, until_member uuid default null
) returns setof renewal_outcome language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set work_mem = '64MB' as $$
#variable_conflict use_column
declare due subscription[]; places tid[]; members uuid[]; early uuid[] := '{}'; coming next_term[]; charged charge_status[]; judged renewal_verdict[];
begin
  select h.* into due, places from hold_due(renew_due.at, most, of_members, only_paid, after_at, after_member, until_at, until_member) h;
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
    select (n.member_id, n.charge_id, uuid_send(n.charge_id) || int8send(n.price_minor), 'subscription', n.currency,
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
