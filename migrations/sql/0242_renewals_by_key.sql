-- The renewal batch again, by keys only: what 0240 and 0241 did, with every look-up by key, so that a batch costs the same however many there are.
drop function renew_due(timestamptz, bigint, uuid[], boolean, uuid, bigint[], bigint, bigint, text);
drop function write_renewals(next_term[], charge_result[], timestamptz, boolean, uuid, bigint[], bigint, bigint);
drop function next_terms(subscription[]);
drop type renewal_outcome;
drop type next_term;

-- What is due, in the order of the batches: by instant, then by member, so that a batch walks every table in its own order.
drop index subscription_due_idx;
create index subscription_due_idx on subscription (next_attempt_at, member_id) where state in ('trialing', 'active', 'past_due');

-- What each renewal would pay for in every batch (decision 0025). The rows are written by functions and requests that hold the subscription itself;
-- `flask ledger verify` looks for strays. A member has few enough charges and motions to find them by member; time is found by BRIN, as they come in its order.
alter table subscription_charge drop constraint subscription_charge_member_id_subscription_id_fkey;
alter table subscription_motion drop constraint subscription_motion_member_id_subscription_id_fkey;
drop index subscription_charge_member_id_subscription_id_term_idx;
drop index subscription_motion_member_id_subscription_id_at_idx;
drop index subscription_motion_at_idx;
create index subscription_motion_at_idx on subscription_motion using brin (at) with (pages_per_range = 32);

create type next_term as (
  member_id uuid, id uuid, product_line text, currency text, timezone text, state text, is_perpetual boolean, started_at timestamptz,
  was_rank bigint, was_seats bigint, was_period text, was_price_minor bigint,  -- as it stands
  term bigint, rank bigint, seats bigint, period text, begins_at timestamptz, ends_at timestamptz,  -- as it will be
  base_minor bigint, seat_minor bigint, price_minor bigint, tax_minor bigint,  -- the price of that term, tax included
  same_minor bigint, between_minor bigint,  -- with today's edition and seats; with the new edition and today's seats
  priced_at timestamptz, charge_id uuid, motion text, due_at timestamptz,  -- due_at: when it was first tried, if it is owed already
  is_cancelled boolean, is_told boolean, fault text, is_charged boolean  -- fault: why it cannot be judged
);

-- The next term of each of these subscriptions: those to be charged first, by wallet, in the order in which their terms ended.
-- Price: the list in force when the term begins; within a commitment, the one in force when it was agreed. An increase over the list of the present term
-- counts only if the member was told in time; else the older list holds. A decrease always counts. Never fewer seats than people hold.
-- What many subscriptions share (day, period, edition) is worked out once: terms end at midnight. Whatever is rare is looked up only where it is needed;
-- `offset 0` keeps such a look-up by key, whatever the statistics say.
create function next_terms(rows subscription[]) returns setof next_term language plpgsql stable
set plan_cache_mode = force_custom_plan set enable_seqscan = off set enable_mergejoin = off as $$
#variable_conflict use_column
begin
return query
with given as materialized (
  select s.*, m.entity_id, m.state as member_state, s.committed_until > s.term_end is true as is_instalment,
    case when s.committed_until > s.term_end then s.rank else coalesce(s.next_rank, s.rank) end as to_rank,
    case when s.committed_until > s.term_end then s.period else coalesce(s.next_period, s.period) end as to_period,
    case when s.committed_until > s.term_end or s.next_seats is null then s.seats
      else greatest(s.next_seats, (select count(*) from app_user u where u.member_id = s.member_id and u.seat_subscription_id = s.id)) end as to_seats,
    case when s.committed_until > s.term_end then s.price_locked_at else s.term_end end as list_at,
    coalesce(s.priced_at, case when s.committed_until >= s.term_end then s.price_locked_at end, s.term_start) as was_list_at
  from unnest(rows) s left join lateral (select x.entity_id, x.state from member x where x.id = s.member_id offset 0) m on true
), shared as materialized (
  select k.*, e.timezone, p.valid_from, p.base_minor as new_base, p.seat_minor as new_seat, tax_rate_at(k.entity_id, k.term_end) as rate_bp,
    end_of_term(k.term_end, k.to_period, k.anchor_day, e.timezone) as ends_at
  from (select distinct g.entity_id, g.product_line, g.currency, g.to_rank, g.to_period, g.list_at, g.term_end, g.anchor_day from given g) k
  join legal_entity e on e.id = k.entity_id
  left join lateral (select * from edition_price p where p.product_line = k.product_line and p.rank = k.to_rank and p.currency = k.currency
    and p.period = k.to_period and p.valid_from <= k.list_at order by p.valid_from desc limit 1) p on true
), priced as (
  select g.*, k.timezone, k.valid_from, k.new_base, k.new_seat, k.rate_bp, k.ends_at, h.held_at,
    case when h.held_at is null then k.new_base else h.base_minor end as base_minor, case when h.held_at is null then k.new_seat else h.seat_minor end as seat_minor
  from given g
  left join shared k on k.entity_id = g.entity_id and k.product_line = g.product_line and k.currency = g.currency and k.to_rank = g.to_rank
    and k.to_period = g.to_period and k.list_at = g.list_at and k.term_end = g.term_end and k.anchor_day = g.anchor_day
  left join lateral (  -- a list that is newer than the present term and dearer, and not announced: the newest one that the member knows of
    select a.held_at, o.base_minor, o.seat_minor
    from (select greatest(g.was_list_at, (select max(x.valid_from) from price_notice x
        where x.member_id = g.member_id and x.subscription_id = g.id and x.applies_from <= g.term_end)) as held_at offset 0) a
    join lateral (select * from edition_price p where p.product_line = g.product_line and p.rank = g.to_rank and p.currency = g.currency
      and p.period = g.to_period and p.valid_from <= a.held_at order by p.valid_from desc limit 1) o
      on o.base_minor + g.to_seats * o.seat_minor < k.new_base + g.to_seats * k.new_seat
    where not g.is_instalment and k.valid_from > g.was_list_at and a.held_at < k.valid_from offset 0
  ) h on true
)
select f.member_id, f.id, f.product_line, f.currency, f.timezone, f.state, f.licensing = 'perpetual', f.started_at,
  f.rank, f.seats, f.period, f.term_price_minor, f.term + 1, f.to_rank, f.to_seats, f.to_period, f.term_end, f.ends_at,
  f.base_minor, f.seat_minor, f.base_minor + f.to_seats * f.seat_minor, tax_inside(f.base_minor + f.to_seats * f.seat_minor, f.rate_bp),
  case when f.to_rank = f.rank and f.to_period = f.period then f.base_minor + f.seats * f.seat_minor else coalesce(
    (select p.base_minor + f.seats * p.seat_minor from edition_price p where p.product_line = f.product_line and p.rank = f.rank and p.currency = f.currency
      and p.period = f.period and p.valid_from <= coalesce(f.held_at, f.list_at) order by p.valid_from desc limit 1), f.term_price_minor) end,
  f.base_minor + f.seats * f.seat_minor, f.held_at,
  coalesce(u.id, named_id('renewal:' || f.id || ':' || f.term + 1)), coalesce(u.motion, case f.state when 'trialing' then 'new' else 'renewal' end), u.due_at,
  v.is_cancelled, f.told_term is not distinct from f.term, v.fault,
  not v.is_cancelled and v.fault is null and f.base_minor + f.to_seats * f.seat_minor > 0
from priced f
left join lateral (
  select c.id, c.motion, c.due_at from subscription_charge c
  where f.state = 'past_due' and c.member_id = f.member_id and c.subscription_id = f.id and c.state = 'unpaid' and c.term = f.term + 1 offset 0
) u on true
cross join lateral (select f.cancel_at_term_end and not f.is_instalment,
  case when f.member_state is null then 'no_member' when f.member_state <> 'active' then 'member_closed' when f.ends_at is null then 'no_calendar'
    when f.base_minor is null then 'no_price' when f.to_period = 'once' then 'nothing_to_renew' end) v(is_cancelled, fault)
order by not (not v.is_cancelled and v.fault is null and f.base_minor + f.to_seats * f.seat_minor > 0) is true, f.member_id, f.term_end, f.started_at, f.id;
end $$;

-- What became of a charge, in the order of the requests.
create type charge_status as (charged_id uuid, status text, missing_minor bigint);
create type renewal_outcome as (
  member_id uuid, subscription_id uuid, product_line text, currency text, term bigint, outcome text,
  amount_minor bigint, tax_minor bigint, missing_minor bigint, charge_id uuid, begins_at timestamptz, ends_at timestamptz, next_attempt_at timestamptz, fault text
);

-- What became of each: renewed; past_due (tried again by plan); suspended (the same, entitlements off); lapsed (unpaid for too long: it ends and the
-- charge is void); ended (cancelled); parked (it cannot be judged: nothing is charged until finance lets it go on). All rows are written here, set by set.
create function write_renewals(
  coming next_term[], charged charge_status[], at timestamptz, only_paid boolean, run uuid, retry_days bigint[], suspend_days bigint, end_days bigint
) returns setof renewal_outcome language plpgsql
set plan_cache_mode = force_custom_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
begin
return query
with judged as materialized (
  select v.*, case when v.outcome in ('past_due', 'suspended') then
      (select min(v.owed_at + make_interval(hours => 24 * d::int)) from unnest(retry_days || suspend_days || end_days) d
        where v.owed_at + make_interval(hours => 24 * d::int) > write_renewals.at) end as retry_at
  from (
    select n.*, coalesce(n.due_at, write_renewals.at) as owed_at, n.due_at is not null as was_owed,
      case when n.status = 'id_reused' then 'id_reused' else n.fault end as why,
      case when n.status is null then 0 else coalesce(nullif(n.missing_minor, 0), n.price_minor) end as lacking_minor,  -- a frozen wallet lacks all of it
      case n.motion when 'new' then 0 else n.was_price_minor * terms_a_year(n.was_period) end as arr_minor,
      case when n.is_cancelled then 'ended' when n.fault is not null or n.status = 'id_reused' then 'parked'
        when n.status is null or n.status in ('new', 'replayed') then 'renewed'
        when write_renewals.at < coalesce(n.due_at, write_renewals.at) + make_interval(hours => 24 * suspend_days::int) then 'past_due'
        when write_renewals.at < coalesce(n.due_at, write_renewals.at) + make_interval(hours => 24 * end_days::int) then 'suspended'
        else 'lapsed' end as outcome
    from rows from (unnest(coming), unnest(charged)) n
  ) v
  where v.outcome = 'renewed' or not only_paid
), renewed as (
  update subscription s set state = 'active', term = j.term, rank = j.rank, seats = j.seats, period = j.period,
      next_rank = case when s.committed_until > s.term_end then s.next_rank end, next_seats = case when s.committed_until > s.term_end then s.next_seats end,
      next_period = case when s.committed_until > s.term_end then s.next_period end,
      term_start = j.begins_at, term_end = j.ends_at, term_price_minor = j.price_minor, priced_at = j.priced_at, worth_offset = 0, paused_units = 0,
      next_attempt_at = j.ends_at, failed_attempts = 0, suspended_at = null
    from judged j where j.outcome = 'renewed' and s.member_id = j.member_id and s.id = j.id
), unpaid as (
  update subscription s set state = 'past_due', next_attempt_at = j.retry_at, failed_attempts = s.failed_attempts + 1,
      suspended_at = case j.outcome when 'suspended' then coalesce(s.suspended_at, write_renewals.at) end
    from judged j where j.outcome in ('past_due', 'suspended') and s.member_id = j.member_id and s.id = j.id returning s.id, s.suspended_at
), ended as (  -- what was bought for good stays, without maintenance
  update subscription s set next_attempt_at = null, suspended_at = null,
      state = case when j.is_perpetual then 'active' else 'ended' end,
      ended_at = case when j.is_perpetual then null when j.outcome = 'ended' then j.begins_at else write_renewals.at end,
      period = case when j.is_perpetual then 'once' else s.period end, term_end = case when j.is_perpetual then timestamptz '9999-01-01 00:00+00' else s.term_end end,
      term_price_minor = case when j.is_perpetual then 0 else s.term_price_minor end, cancel_at_term_end = s.cancel_at_term_end and not j.is_perpetual
    from judged j where j.outcome in ('ended', 'lapsed') and s.member_id = j.member_id and s.id = j.id
), parked as (
  update subscription s set next_attempt_at = null, parked_at = write_renewals.at, parked_reason = j.why
    from judged j where j.outcome = 'parked' and s.member_id = j.member_id and s.id = j.id
), charges as (
  insert into subscription_charge (member_id, id, subscription_id, motion, term, currency, amount_minor, tax_minor, service_from, service_until, state, due_at,
      paid_at, run_id)
    select j.member_id, j.charge_id, j.id, j.motion, j.term, j.currency, j.price_minor, j.tax_minor, j.begins_at, j.ends_at,
      case j.outcome when 'renewed' then 'paid' else 'unpaid' end, j.owed_at, case j.outcome when 'renewed' then write_renewals.at end,
      case j.outcome when 'renewed' then run end
    from judged j where j.outcome in ('renewed', 'past_due', 'suspended') and not j.was_owed
), owed as (
  update subscription_charge c set amount_minor = j.price_minor, tax_minor = j.tax_minor, run_id = case j.outcome when 'renewed' then run end,
      state = case j.outcome when 'renewed' then 'paid' when 'lapsed' then 'void' else 'unpaid' end,
      paid_at = case j.outcome when 'renewed' then write_renewals.at end
    from judged j where j.was_owed and j.outcome in ('renewed', 'past_due', 'suspended', 'lapsed') and c.member_id = j.member_id and c.id = j.charge_id
), motions as (  -- each with its own step of ARR: the renewal at what it would have cost unchanged, then what was planned for it
  insert into subscription_motion (member_id, id, subscription_id, motion, at, amount_minor, currency, term, rank, seats, arr_before_minor, arr_after_minor)
    select j.member_id, case when j.outcome = 'renewed' then j.charge_id else named_id('motion:' || j.outcome || ':' || j.charge_id) end, j.id,
      case j.outcome when 'renewed' then j.motion when 'past_due' then 'past_due' when 'suspended' then 'past_due' else 'lapse' end, write_renewals.at,
      case j.outcome when 'renewed' then j.price_minor else 0 end, j.currency, case j.outcome when 'renewed' then j.term else j.term - 1 end,
      case when j.outcome = 'renewed' and j.motion = 'new' then j.rank else j.was_rank end, case when j.outcome = 'renewed' and j.motion = 'new' then j.seats else j.was_seats end,
      j.arr_minor, case when j.outcome in ('past_due', 'suspended') then j.arr_minor when j.outcome <> 'renewed' then 0
        when j.motion = 'new' then j.price_minor * terms_a_year(j.period) else j.same_minor * terms_a_year(j.was_period) end
    from judged j where j.outcome in ('renewed', 'ended', 'lapsed') or j.outcome in ('past_due', 'suspended') and not j.was_owed
    union all
    select j.member_id, named_id('motion:' || m.motion || ':' || j.charge_id), j.id, m.motion, write_renewals.at, 0, j.currency, j.term, j.rank, m.seats, m.before, m.after
    from judged j cross join lateral (values
      (1, case when j.rank > j.was_rank then 'upgrade' else 'downgrade' end, j.rank <> j.was_rank, j.was_seats, j.same_minor * terms_a_year(j.was_period), j.between_minor * terms_a_year(j.period)),
      (2, 'period', j.period <> j.was_period, j.was_seats, case when j.rank <> j.was_rank then j.between_minor * terms_a_year(j.period) else j.same_minor * terms_a_year(j.was_period) end,
        j.between_minor * terms_a_year(j.period)),
      (3, 'seats', j.seats <> j.was_seats, j.seats, j.between_minor * terms_a_year(j.period), j.price_minor * terms_a_year(j.period))
    ) m(n, motion, is_wanted, seats, before, after)
    where j.outcome = 'renewed' and j.motion <> 'new' and (j.rank, j.seats, j.period) is distinct from (j.was_rank, j.was_seats, j.was_period) and m.is_wanted
), told as (  -- a renewal that went as announced is not told again: the member's page shows it from the charge (decision 0024)
  insert into notice (member_id, id, kind, details, at)
    select j.member_id, named_id('notice:' || k.kind || ':' || j.charge_id), k.kind,
      jsonb_build_object('subscription_id', j.id, 'name_zh', l.name_zh || ' · ' || e.name_zh, 'name_en', l.name_en || ' · ' || e.name_en, 'currency', j.currency,
        'amount_minor', j.price_minor, 'missing_minor', j.lacking_minor, 'at', (case j.outcome when 'ended' then j.begins_at else write_renewals.at end at time zone j.timezone)::date,
        'suspended_on', ((j.owed_at + make_interval(hours => 24 * suspend_days::int)) at time zone j.timezone)::date,
        'until', ((j.owed_at + make_interval(hours => 24 * end_days::int)) at time zone j.timezone)::date), write_renewals.at
    from judged j
    join lateral (select case when j.outcome = 'ended' then 'subscription_ended' when j.outcome = 'lapsed' then 'subscription_lapsed'
      when j.outcome = 'suspended' then 'subscription_suspended' else 'subscription_past_due' end) k(kind) on true
    join product_line l on l.code = j.product_line join edition e on e.product_line = j.product_line and e.rank = j.was_rank
    where j.outcome in ('ended', 'lapsed', 'suspended') or j.outcome = 'past_due' and not j.was_owed
    on conflict do nothing
), withdrawn as (  -- what no longer holds needs nobody's attention
  update notice x set read_at = write_renewals.at
    from judged j where (j.state = 'past_due' or j.is_told) and j.outcome <> 'parked' and x.member_id = j.member_id and x.read_at is null
      and x.details ->> 'subscription_id' = j.id::text and x.kind = any (case when j.outcome = 'past_due' then array['renewal_upcoming']
        when j.outcome = 'suspended' then array['renewal_upcoming', 'subscription_past_due'] else array['renewal_upcoming', 'subscription_past_due', 'subscription_suspended'] end)
)
select j.member_id, j.id, j.product_line, j.currency, j.term, j.outcome, case when j.outcome in ('ended', 'parked') then 0 else j.price_minor end, j.tax_minor,
  case when j.outcome in ('past_due', 'suspended', 'lapsed') then j.lacking_minor else 0 end, j.charge_id, j.begins_at, j.ends_at,
  case j.outcome when 'renewed' then j.ends_at else j.retry_at end, j.why
from judged j;
end $$;

-- Renew up to `most` subscriptions that are due at `at`; call it until it returns nothing but 'waiting'.
-- of_members: only these. only_paid: what these members owe, whenever it is tried next, as far as the wallet goes; nothing is written about the rest.
-- retry_days: when an unpaid one is tried again, in days from the first attempt; suspended after suspend_days, ended after end_days.
-- `skip locked`: two runs share the work. A subscription whose member has an earlier one due that is not in this batch is 'waiting', so
-- the subscriptions of one wallet are served in the order in which their terms ended, whoever serves them.
create function renew_due(
  at timestamptz, most bigint, of_members uuid[], only_paid boolean, run uuid, retry_days bigint[], suspend_days bigint, end_days bigint, consumption_order text
) returns setof renewal_outcome language plpgsql
set plan_cache_mode = force_custom_plan set enable_seqscan = off set work_mem = '64MB' as $$
#variable_conflict use_column
declare due subscription[]; early uuid[] := '{}'; coming next_term[]; charged charge_status[];
begin
  if only_paid then
    due := array(select s from subscription s where s.member_id = any(of_members) and s.state = 'past_due' for no key update skip locked);
  elsif of_members is not null then
    due := array(select s from subscription s where s.member_id = any(of_members) and s.state in ('trialing', 'active', 'past_due')
      and s.next_attempt_at <= renew_due.at order by s.next_attempt_at, s.member_id limit most for no key update skip locked);
  else
    due := array(select s from subscription s where s.state in ('trialing', 'active', 'past_due') and s.next_attempt_at <= renew_due.at
      order by s.next_attempt_at, s.member_id limit most for no key update skip locked);
  end if;
  if cardinality(due) = 0 then
    return;
  end if;
  if not only_paid then
    early := array(select d.id from unnest(due) d
      join lateral (select x.member_id, x.id from subscription x where x.member_id = d.member_id and x.id <> d.id and x.state in ('trialing', 'active', 'past_due')
        and x.next_attempt_at <= renew_due.at and (x.term_end, x.started_at, x.id) < (d.term_end, d.started_at, d.id) offset 0) x on true
      where not exists (select from unnest(due) y where y.member_id = x.member_id and y.id = x.id));
    if cardinality(early) > 0 then
      return query select d.member_id, d.id, d.product_line, d.currency, d.term + 1, 'waiting', 0::bigint, 0::bigint, 0::bigint, null::uuid, d.term_end,
        d.term_end, d.next_attempt_at, null from unnest(due) d where d.id = any(early);
      due := array(select d from unnest(due) d where d.id <> all(early));
      if cardinality(due) = 0 then
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
  assert (select bool_and(x.is_charged is not true or x.charged_id = x.charge_id) from rows from (unnest(coming), unnest(charged)) x), 'results stand in the order of the requests';
  return query select * from write_renewals(coming, charged, renew_due.at, only_paid, run, retry_days, suspend_days, end_days);
end $$;

revoke execute on function renew_due, write_renewals from public;
grant execute on function renew_due, write_renewals to app_staff, app_system;
revoke execute on function next_terms(subscription[]) from public;
grant execute on function next_terms(subscription[]) to app_member, app_staff, app_system;
