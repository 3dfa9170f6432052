-- A renewal that went as announced is one row less, and subscriptions are written where they were read (decision 0064).

-- The charge of a plain renewal is its motion, too: edition and seats before what was planned for the term, ARR before and after. All others stay rows of
-- subscription_motion; what happened to a subscription is read from both, in the order of instant, term, seq (the renewal comes before its changes).
alter table subscription_charge add column motion_rank bigint, add column motion_seats bigint, add column arr_before_minor bigint, add column arr_after_minor bigint;
create view subscription_history with (security_invoker = true) as
  select member_id, id, subscription_id, motion, at, amount_minor, currency, term, rank, seats, arr_before_minor, arr_after_minor, csm_id, seq
  from subscription_motion
  union all
  select member_id, id, subscription_id, motion, paid_at, amount_minor, currency, term, motion_rank, motion_seats, arr_before_minor, arr_after_minor, null, 0
  from subscription_charge where motion_rank is not null;
grant select on subscription_history to app_member, app_staff, app_system;

alter type next_term add attribute nth int;  -- its place in the rows that were asked about
alter type renewal_verdict add attribute nth int;
drop function renew_due(timestamptz, bigint, uuid[], boolean, uuid, bigint[], bigint, bigint, text);
drop function hold_due(timestamptz, bigint, uuid[], boolean);
drop function write_renewals(renewal_verdict[], timestamptz, uuid, bigint, bigint);

-- As in 0440, and each term says which row it is the next of.
create or replace function next_terms(rows subscription[]) returns setof next_term language plpgsql stable
set plan_cache_mode = force_custom_plan set enable_seqscan = off set enable_mergejoin = off set enable_nestloop = off set enable_sort = off as $$
#variable_conflict use_column
begin
return query
with buyer as materialized (  -- one walk along the index
  select x.id, x.entity_id, x.state from member x where x.id = any(array(select u.member_id from unnest(rows) u))
), given as materialized (
  select s.member_id, s.id, s.ordinality as nth, s.product_line, s.currency, s.state, s.licensing, s.started_at, s.rank, s.seats, s.period, s.term_price_minor, s.term, s.term_end,
    s.anchor_day, s.cancel_at_term_end, s.told_term, m.entity_id, m.state as member_state, s.committed_until > s.term_end is true as is_instalment,
    case when s.committed_until > s.term_end then s.rank else coalesce(s.next_rank, s.rank) end as to_rank,
    case when s.committed_until > s.term_end then s.period else coalesce(s.next_period, s.period) end as to_period,
    case when s.committed_until > s.term_end or s.next_seats is null then s.seats
      else greatest(s.next_seats, (select count(*) from app_user u where u.member_id = s.member_id and u.seat_subscription_id = s.id)) end as to_seats,
    case when s.committed_until > s.term_end then s.price_locked_at else s.term_end end as list_at,
    coalesce(s.priced_at, case when s.committed_until >= s.term_end then s.price_locked_at end, s.term_start) as was_list_at
  from unnest(rows) with ordinality s left join buyer m on m.id = s.member_id
), shared as materialized (
  select k.*, e.timezone, p.valid_from, p.base_minor as new_base, p.seat_minor as new_seat, p.excludes_tax as new_excludes, tax_rate_at(k.entity_id, k.term_end) as rate_bp,
    end_of_term(k.term_end, k.to_period, k.anchor_day, e.timezone) as ends_at
  from (select distinct g.entity_id, g.product_line, g.currency, g.to_rank, g.to_period, g.list_at, g.term_end, g.anchor_day from given g) k
  join legal_entity e on e.id = k.entity_id
  left join lateral (select * from edition_price p where p.product_line = k.product_line and p.rank = k.to_rank and p.currency = k.currency
    and p.period = k.to_period and p.valid_from <= k.list_at order by p.valid_from desc limit 1) p on true
), priced as (
  select g.*, k.timezone, k.rate_bp, k.ends_at, h.held_at, case when h.held_at is null then k.new_base else h.base_minor end as base_minor,
    case when h.held_at is null then k.new_seat else h.seat_minor end as seat_minor, case when h.held_at is null then k.new_excludes else h.excludes_tax end as excludes_tax
  from given g
  left join shared k on k.entity_id = g.entity_id and k.product_line = g.product_line and k.currency = g.currency and k.to_rank = g.to_rank
    and k.to_period = g.to_period and k.list_at = g.list_at and k.term_end = g.term_end and k.anchor_day = g.anchor_day
  left join lateral (  -- a list that is newer than the present term and dearer, and not announced: the newest one that the member knows of
    select a.held_at, o.base_minor, o.seat_minor, o.excludes_tax
    from (select greatest(g.was_list_at, (select max(x.valid_from) from price_notice x
        where x.member_id = g.member_id and x.subscription_id = g.id and x.applies_from <= g.term_end)) as held_at offset 0) a
    join lateral (select * from edition_price p where p.product_line = g.product_line and p.rank = g.to_rank and p.currency = g.currency
      and p.period = g.to_period and p.valid_from <= a.held_at order by p.valid_from desc limit 1) o
      on gross_of(o.base_minor + g.to_seats * o.seat_minor, k.rate_bp, o.excludes_tax) < gross_of(k.new_base + g.to_seats * k.new_seat, k.rate_bp, k.new_excludes)
    where not g.is_instalment and k.valid_from > g.was_list_at and a.held_at < k.valid_from offset 0
  ) h on true
), totalled as (
  select p.*, gross_of(p.base_minor + p.to_seats * p.seat_minor, p.rate_bp, p.excludes_tax) as price_minor, p.cancel_at_term_end and not p.is_instalment as is_cancelled,
    p.to_rank = p.rank and p.to_period = p.period as is_same, 
    case when p.member_state is null then 'no_member' when p.member_state <> 'active' then 'member_closed' when p.ends_at is null then 'no_calendar'
      when p.base_minor is null then 'no_price' when p.to_period = 'once' then 'nothing_to_renew' end as fault
  from priced p offset 0
), charged as (
  select t.*, not t.is_cancelled and t.fault is null and t.price_minor > 0 as is_charged,
    case when t.to_seats = t.seats then t.price_minor else gross_of(t.base_minor + t.seats * t.seat_minor, t.rate_bp, t.excludes_tax) end as between_minor from totalled t offset 0
)
select f.member_id, f.id, f.product_line, f.currency, f.timezone, f.state, f.licensing = 'perpetual', f.started_at,
  f.rank, f.seats, f.period, f.term_price_minor, f.term + 1, f.to_rank, f.to_seats, f.to_period, f.term_end, f.ends_at,
  f.base_minor, f.seat_minor, f.price_minor, tax_inside(f.price_minor, f.rate_bp),
  case when f.is_same then f.between_minor else coalesce(
    (select gross_of(p.base_minor + f.seats * p.seat_minor, f.rate_bp, p.excludes_tax) from edition_price p where p.product_line = f.product_line and p.rank = f.rank and p.currency = f.currency
      and p.period = f.period and p.valid_from <= coalesce(f.held_at, f.list_at) order by p.valid_from desc limit 1), f.term_price_minor) end,
  f.between_minor, f.held_at,
  coalesce(u.id, named_id('renewal:' || f.id || ':' || f.term + 1)), coalesce(u.motion, case f.state when 'trialing' then 'new' else 'renewal' end), u.due_at,
  f.is_cancelled, f.told_term is not distinct from f.term, f.fault, f.is_charged, f.nth::int
from charged f
left join lateral (
  select c.id, c.motion, c.due_at from subscription_charge c
  where f.state = 'past_due' and c.member_id = f.member_id and c.subscription_id = f.id and c.state = 'unpaid' and c.term = f.term + 1 offset 0
) u on true
order by f.is_charged is not true, f.member_id, f.term_end, f.started_at, f.id;
end $$;

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
      case when v.status = 'id_reused' then 'id_reused' else v.fault end, v.nth)::renewal_verdict
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

-- All rows of a batch, a statement a table; what hardly any batch has is not looked for. `places` is where the subscriptions stand, which are locked.
create function write_renewals(judged renewal_verdict[], places tid[], at timestamptz, run uuid, suspend_days bigint, end_days bigint) returns void language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
declare are_renewed boolean; is_any_owed boolean; is_any_new boolean; is_any_changed boolean; is_any_announced boolean; renewed bigint; written bigint;
begin
  select bool_and(j.outcome = 'renewed'), bool_or(j.was_owed), bool_or(j.is_changed), bool_or(j.is_announced), bool_or(j.motion <> 'renewal'),
      count(*) filter (where j.outcome = 'renewed'), count(j.outcome)
    into are_renewed, is_any_owed, is_any_changed, is_any_announced, is_any_new, renewed, written from unnest(judged) j;
  assert written = cardinality(judged), 'charges stand in the order of the requests';

  update subscription s set state = 'active', term = j.term, rank = j.rank, seats = j.seats, period = j.period,
      next_rank = case when s.committed_until > s.term_end then s.next_rank end, next_seats = case when s.committed_until > s.term_end then s.next_seats end,
      next_period = case when s.committed_until > s.term_end then s.next_period end,
      term_start = j.begins_at, term_end = j.ends_at, term_price_minor = j.price_minor, priced_at = j.priced_at, worth_offset = 0, paused_units = 0,
      next_attempt_at = j.ends_at, failed_attempts = 0, suspended_at = null
    from unnest(judged) j where j.outcome = 'renewed' and s.ctid = places[j.nth] and s.id = j.id;
  get diagnostics written = row_count;
  assert written = renewed, 'every renewed subscription is written';
  if not are_renewed then
    update subscription s set state = 'past_due', next_attempt_at = j.retry_at, failed_attempts = s.failed_attempts + 1,
        suspended_at = case j.outcome when 'suspended' then coalesce(s.suspended_at, write_renewals.at) end
      from unnest(judged) j where j.outcome in ('past_due', 'suspended') and s.member_id = j.member_id and s.id = j.id;
    update subscription s set next_attempt_at = null, suspended_at = null,  -- what was bought for good stays, without maintenance
        state = case when j.is_perpetual then 'active' else 'ended' end,
        ended_at = case when j.is_perpetual then null when j.outcome = 'ended' then j.begins_at else write_renewals.at end,
        period = case when j.is_perpetual then 'once' else s.period end, term_end = case when j.is_perpetual then timestamptz '9999-01-01 00:00+00' else s.term_end end,
        term_price_minor = case when j.is_perpetual then 0 else s.term_price_minor end, cancel_at_term_end = s.cancel_at_term_end and not j.is_perpetual
      from unnest(judged) j where j.outcome in ('ended', 'lapsed') and s.member_id = j.member_id and s.id = j.id;
    update subscription s set next_attempt_at = null, parked_at = write_renewals.at, parked_reason = j.fault
      from unnest(judged) j where j.outcome = 'parked' and s.member_id = j.member_id and s.id = j.id;
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
    insert into subscription_motion (member_id, id, subscription_id, motion, at, amount_minor, currency, term, rank, seats, arr_before_minor, arr_after_minor)
      select j.member_id, case when j.outcome = 'renewed' then j.charge_id else named_id('motion:' || j.outcome || ':' || j.charge_id) end, j.id,
        case j.outcome when 'renewed' then j.motion when 'past_due' then 'past_due' when 'suspended' then 'past_due' else 'lapse' end, write_renewals.at,
        case j.outcome when 'renewed' then j.price_minor else 0 end, j.currency, case j.outcome when 'renewed' then j.term else j.term - 1 end,
        case when j.outcome = 'renewed' and j.motion = 'new' then j.rank else j.was_rank end, case when j.outcome = 'renewed' and j.motion = 'new' then j.seats else j.was_seats end,
        j.arr_minor, case when j.outcome in ('past_due', 'suspended') then j.arr_minor when j.outcome <> 'renewed' then 0
          when j.motion = 'new' then j.price_minor * terms_a_year(j.period) else j.same_minor * terms_a_year(j.was_period) end
      from unnest(judged) j where j.outcome in ('ended', 'lapsed') or j.outcome = 'renewed' and (j.was_owed or j.motion <> 'renewal')
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
      from unnest(judged) j
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

-- The subscriptions of a batch, locked, in the order of batches (by instant, then by member), and where they stand.
create function hold_due(at timestamptz, most bigint, of_members uuid[], only_paid boolean, out due subscription[], out places tid[])
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
  else
    select array_agg(v.s), array_agg(v.place) into due, places
      from (select s, s.ctid as place from subscription s where s.state in ('trialing', 'active', 'past_due') and s.next_attempt_at <= hold_due.at
            order by s.next_attempt_at, s.member_id limit most for no key update skip locked) v;
  end if;
end $$;

-- Renew up to `most` subscriptions that are due at `at`; call it until it returns nothing but 'waiting'.
-- of_members: only these. only_paid: what these members owe, whenever it is tried next, as far as the wallet goes; nothing is written about the rest.
-- retry_days: when an unpaid one is tried again, in days from the first attempt; suspended after suspend_days, ended after end_days.
-- `skip locked`: two runs share the work. A subscription whose member has an earlier one due that is not in this batch is 'waiting', so
-- the subscriptions of one wallet are served in the order in which their terms ended, whoever serves them.
create function renew_due(
  at timestamptz, most bigint, of_members uuid[], only_paid boolean, run uuid, retry_days bigint[], suspend_days bigint, end_days bigint, consumption_order text
) returns setof renewal_outcome language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set work_mem = '64MB' as $$
#variable_conflict use_column
declare due subscription[]; places tid[]; members uuid[]; early uuid[] := '{}'; coming next_term[]; charged charge_status[]; judged renewal_verdict[];
begin
  select h.* into due, places from hold_due(renew_due.at, most, of_members, only_paid) h;
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

revoke execute on function renew_due, hold_due, judge_renewals, write_renewals from public;
grant execute on function renew_due, hold_due, judge_renewals, write_renewals to app_staff, app_system;
