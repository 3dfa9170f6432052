-- The renewal run: one call renews one batch, from picking what is due to the last row, in the caller's transaction.
create table renewal_run (
  id uuid not null, at timestamptz not null, started_at timestamptz not null, finished_at timestamptz, batches bigint not null,
  constraint renewal_run_pkey primary key (id)
);
create index renewal_run_started_at_idx on renewal_run (started_at);
create table renewal_run_total (
  run_id uuid not null, currency text not null, outcome text not null, count bigint not null, amount_minor bigint not null,
  constraint renewal_run_total_pkey primary key (run_id, currency, outcome),
  constraint renewal_run_total_run_id_fkey foreign key (run_id) references renewal_run (id)
) with (fillfactor = 50);
grant select on renewal_run, renewal_run_total to app_staff, app_system;
grant insert, update on renewal_run, renewal_run_total to app_system;

-- Which run paid a charge (null: a top-up or the member itself). Rows lie in the order they were written in, so a run's are found by its instant.
alter table subscription_charge add column run_id uuid;
create index subscription_charge_paid_at_idx on subscription_charge using brin (paid_at) with (pages_per_range = 32);

create type renewal_outcome as (
  member_id uuid, subscription_id uuid, product_line text, currency text, term bigint, outcome text,
  amount_minor bigint, tax_minor bigint, missing_minor bigint, charge_id uuid, begins_at timestamptz, ends_at timestamptz, next_attempt_at timestamptz, fault text
);

-- What became of each: renewed; past_due (tried again by plan); suspended (the same, entitlements off); lapsed (unpaid for too long: it ends and the
-- charge is void); ended (cancelled); parked (it cannot be judged: nothing is charged until finance lets it go on). All rows are written here, set by set.
create function write_renewals(
  coming next_term[], charged charge_result[], at timestamptz, only_paid boolean, run uuid, retry_days bigint[], suspend_days bigint, end_days bigint
) returns setof renewal_outcome language plpgsql
set plan_cache_mode = force_custom_plan set enable_seqscan = off as $$
#variable_conflict use_column
begin
return query
with judged as materialized (
  select v.*, case when v.outcome in ('past_due', 'suspended') then
      (select min(v.owed_at + make_interval(hours => 24 * d::int)) from unnest(retry_days || suspend_days || end_days) d
        where v.owed_at + make_interval(hours => 24 * d::int) > write_renewals.at) end as retry_at
  from (
    select n.*, coalesce(n.due_at, write_renewals.at) as owed_at, n.due_at is not null as was_owed,
      case when c.status = 'id_reused' then 'id_reused' else n.fault end as why,
      case when c.status is null then 0 else coalesce(nullif(c.missing_minor, 0), n.price_minor) end as missing_minor,  -- a frozen wallet lacks all of it
      case n.motion when 'new' then 0 else n.was_price_minor * terms_a_year(n.was_period) end as arr_minor,
      case when n.is_cancelled then 'ended' when n.fault is not null or c.status = 'id_reused' then 'parked'
        when c.status is null or c.status in ('new', 'replayed') then 'renewed'
        when write_renewals.at < coalesce(n.due_at, write_renewals.at) + make_interval(hours => 24 * suspend_days::int) then 'past_due'
        when write_renewals.at < coalesce(n.due_at, write_renewals.at) + make_interval(hours => 24 * end_days::int) then 'suspended'
        else 'lapsed' end as outcome
    from unnest(coming) n left join unnest(charged) c on c.book_id = n.member_id and c.id = n.charge_id
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
        'amount_minor', j.price_minor, 'missing_minor', j.missing_minor, 'at', (case j.outcome when 'ended' then j.begins_at else write_renewals.at end at time zone j.timezone)::date,
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
  case when j.outcome in ('past_due', 'suspended', 'lapsed') then j.missing_minor else 0 end, j.charge_id, j.begins_at, j.ends_at,
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
declare due subscription[]; early uuid[] := '{}'; coming next_term[]; charged charge_result[];
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
    early := array(select d.id from unnest(due) d join subscription x on x.member_id = d.member_id and x.state in ('trialing', 'active', 'past_due')
        and x.next_attempt_at <= renew_due.at and (x.term_end, x.started_at, x.id) < (d.term_end, d.started_at, d.id)
      left join unnest(due) y on y.member_id = x.member_id and y.id = x.id where y.id is null);
    if cardinality(early) > 0 then
      return query select d.member_id, d.id, d.product_line, d.currency, d.term + 1, 'waiting', 0::bigint, 0::bigint, 0::bigint, null::uuid, d.term_end,
        d.term_end, d.next_attempt_at, null from unnest(due) d where d.id = any(early);
      due := array(select d from unnest(due) d where d.id <> all(early));
    end if;
  end if;
  coming := array(select n from next_terms(due) n);
  charged := array(select c from charge_many(array(
    select (n.member_id, n.charge_id, sha256(convert_to('renewal:' || n.id || ':' || n.term || ':' || n.price_minor, 'UTF8')), 'subscription', n.currency,
      renew_due.at, null, case when n.tax_minor > 0 then array[26, 27] else array[26] end,
      case when n.tax_minor > 0 then array[n.price_minor - n.tax_minor, n.tax_minor] else array[n.price_minor] end,
      case when n.tax_minor > 0 then array[n.price_minor - n.tax_minor, 0] else array[n.price_minor] end, null, renew_due.consumption_order)::charge_request
    from unnest(coming) n where not n.is_cancelled and n.fault is null and n.price_minor > 0
    order by n.member_id, n.begins_at, n.started_at, n.id)) c);
  return query select * from write_renewals(coming, charged, renew_due.at, only_paid, run, retry_days, suspend_days, end_days);
end $$;

revoke execute on function renew_due, write_renewals from public;
grant execute on function renew_due, write_renewals to app_staff, app_system;
