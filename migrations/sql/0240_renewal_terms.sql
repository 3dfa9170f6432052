-- What the next term of a subscription is: the calendar, the price list that holds, the tax. One implementation for the renewal run, for previews, for
-- announcements and for finance. membership/terms.py is the reference of the calendar; a test holds both to each other.

-- Suspended: entitlements are off, data is kept. Parked: it cannot be judged, so it is not billed on; finance sees why and lets it go on.
-- priced_at: the instant whose price list prices the present term, where that is not its first one (an increase that was not announced in time).
-- told_term: the term whose end has been announced to the member.
alter table subscription
  add column suspended_at timestamptz, add column parked_at timestamptz, add column parked_reason text, add column priced_at timestamptz, add column told_term bigint,
  add constraint subscription_parked_check check (num_nulls(parked_at, parked_reason) in (0, 2) and (parked_at is null or next_attempt_at is null)),
  add constraint subscription_suspended_check check (suspended_at is null or state = 'past_due');

-- A price increase that a member was told about. It holds for terms that begin at `applies_from` or later, never for an earlier one.
create table price_notice (
  member_id uuid not null, id uuid not null, subscription_id uuid not null,
  valid_from timestamptz not null, applies_from timestamptz not null, told_at timestamptz not null, old_minor bigint not null, new_minor bigint not null,
  constraint price_notice_pkey primary key (member_id, id),
  constraint price_notice_member_id_subscription_id_fkey foreign key (member_id, subscription_id) references subscription (member_id, id),
  constraint price_notice_order_check check (applies_from >= valid_from and applies_from > told_at)
);
alter table price_notice enable row level security;
alter table price_notice force row level security;
create policy own_rows on price_notice to app_member using (member_id = acting_member()) with check (member_id = acting_member());
create policy all_rows on price_notice to app_staff, app_system, ledger, current_user using (true) with check (true);
grant select on price_notice to app_member, app_staff;
grant select, insert on price_notice to app_system;

-- An id made of what it stands for, as core.ids.named makes it.
create function named_id(name text) returns uuid language sql immutable parallel safe as $$ select md5(name)::uuid $$;

-- The first instant of a local day. Where clocks are set back over midnight there are two midnights: the earlier one.
create function start_of_day(day date, zone text) returns timestamptz language sql stable parallel safe as $$
  select day::timestamp at time zone zone - case when ((day::timestamp at time zone zone - interval '1 hour') at time zone zone)::date = day
    then interval '1 hour' else interval '0' end
$$;

-- When the n-th term that follows an instant is over: the anchor day of the month, or its last day where the month is shorter.
create function end_of_term(begins_at timestamptz, period text, anchor_day bigint, zone text, terms int default 1) returns timestamptz
language sql stable parallel safe as $$
  select start_of_day((first + least(anchor_day::int, extract(day from first + interval '1 month' - interval '1 day')::int) - 1)::date, zone)
  from (select (date_trunc('month', begins_at at time zone zone)
    + terms * case period when 'month' then interval '1 month' when 'quarter' then interval '3 months' else interval '12 months' end)::date) month(first)
$$;

create function terms_a_year(period text) returns bigint language sql immutable parallel safe as $$
  select case period when 'month' then 12 when 'quarter' then 4 when 'once' then 0 else 1 end
$$;

create type next_term as (
  member_id uuid, id uuid, product_line text, currency text, timezone text, state text, is_perpetual boolean, started_at timestamptz,
  was_rank bigint, was_seats bigint, was_period text, was_price_minor bigint,  -- as it stands
  term bigint, rank bigint, seats bigint, period text, begins_at timestamptz, ends_at timestamptz,  -- as it will be
  base_minor bigint, seat_minor bigint, price_minor bigint, tax_minor bigint,  -- the price of that term, tax included
  same_minor bigint, between_minor bigint,  -- with today's edition and seats; with the new edition and today's seats
  priced_at timestamptz, charge_id uuid, motion text, due_at timestamptz,  -- due_at: when it was first tried, if it is owed already
  is_cancelled boolean, is_told boolean, fault text  -- fault: why it cannot be judged
);

-- The next term of each of these subscriptions.
-- Price: the list in force when the term begins; within a commitment, the one in force when it was agreed. An increase over the list of the present term
-- counts only if the member was told in time; else the older list holds. A decrease always counts. Never fewer seats than people hold.
create function next_terms(rows subscription[]) returns setof next_term language sql stable as $$
with given as materialized (
  select s.*, m.entity_id, s.committed_until > s.term_end is true as is_instalment, m.state as member_state,
    case when s.committed_until > s.term_end then s.rank else coalesce(s.next_rank, s.rank) end as to_rank,
    case when s.committed_until > s.term_end then s.period else coalesce(s.next_period, s.period) end as to_period,
    case when s.committed_until > s.term_end then s.price_locked_at else s.term_end end as list_at,
    coalesce(s.priced_at, case when s.committed_until >= s.term_end then s.price_locked_at end, s.term_start) as was_list_at
  from unnest(rows) s left join member m on m.id = s.member_id
), calendar as materialized (  -- few: terms end at midnight
  select d.*, e.timezone, end_of_term(d.term_end, d.to_period, d.anchor_day, e.timezone) as ends_at, tax_rate_at(d.entity_id, d.term_end) as rate_bp
  from (select distinct entity_id, term_end, to_period, anchor_day from given) d join legal_entity e on e.id = d.entity_id
), list as materialized (
  select p.*, lead(p.valid_from, 1, 'infinity') over (partition by p.product_line, p.rank, p.currency, p.period order by p.valid_from) as valid_until
  from edition_price p
), priced as (
  select g.*, c.timezone, c.ends_at, c.rate_bp, n.base_minor as new_base, n.seat_minor as new_seat, n.valid_from as new_from,
    o.base_minor as old_base, o.seat_minor as old_seat, o.valid_from as old_from,
    case when g.is_instalment then g.seats when g.next_seats is null then g.seats
      else greatest(g.next_seats, (select count(*) from app_user u where u.member_id = g.member_id and u.seat_subscription_id = g.id)) end as to_seats
  from given g
  left join calendar c on c.entity_id = g.entity_id and c.term_end = g.term_end and c.to_period = g.to_period and c.anchor_day = g.anchor_day
  left join list n on n.product_line = g.product_line and n.rank = g.to_rank and n.currency = g.currency and n.period = g.to_period
    and n.valid_from <= g.list_at and g.list_at < n.valid_until
  left join list o on o.product_line = g.product_line and o.rank = g.to_rank and o.currency = g.currency and o.period = g.to_period
    and o.valid_from <= g.was_list_at and g.was_list_at < o.valid_until
), chosen as (
  select p.*, a.list_from as fallback_at, a.list_from is not null and a.list_from < p.new_from as is_held
  from priced p left join lateral (  -- the newest list that the member knows of; nothing to look up while prices do not rise
    select greatest(p.was_list_at, (select max(x.valid_from) from price_notice x
      where x.member_id = p.member_id and x.subscription_id = p.id and x.applies_from <= p.term_end)) as list_from
    where not p.is_instalment and p.new_from <> p.old_from and p.new_base + p.to_seats * p.new_seat > p.old_base + p.to_seats * p.old_seat
  ) a on true
), final as (
  select c.*, case when c.is_held then h.base_minor else c.new_base end as base_minor, case when c.is_held then h.seat_minor else c.new_seat end as seat_minor
  from chosen c left join lateral (
    select l.base_minor, l.seat_minor from list l where c.is_held and l.product_line = c.product_line and l.rank = c.to_rank and l.currency = c.currency
      and l.period = c.to_period and l.valid_from <= c.fallback_at and c.fallback_at < l.valid_until
  ) h on c.is_held
)
select f.member_id, f.id, f.product_line, f.currency, f.timezone, f.state, f.licensing = 'perpetual', f.started_at,
  f.rank, f.seats, f.period, f.term_price_minor, f.term + 1, f.to_rank, f.to_seats, f.to_period, f.term_end, f.ends_at,
  f.base_minor, f.seat_minor, f.base_minor + f.to_seats * f.seat_minor, tax_inside(f.base_minor + f.to_seats * f.seat_minor, f.rate_bp),
  case when f.to_rank = f.rank and f.to_period = f.period then f.base_minor + f.seats * f.seat_minor else coalesce(
    (select l.base_minor + f.seats * l.seat_minor from list l where l.product_line = f.product_line and l.rank = f.rank and l.currency = f.currency
      and l.period = f.period and l.valid_from <= f.list_at and f.list_at < l.valid_until), f.term_price_minor) end,
  f.base_minor + f.seats * f.seat_minor,
  case when f.is_held then f.fallback_at end,
  coalesce(u.id, named_id('renewal:' || f.id || ':' || f.term + 1)), coalesce(u.motion, case f.state when 'trialing' then 'new' else 'renewal' end), u.due_at,
  f.cancel_at_term_end and not f.is_instalment, f.told_term is not distinct from f.term,
  case when f.member_state is null then 'no_member' when f.member_state <> 'active' then 'member_closed' when f.ends_at is null then 'no_calendar'
    when f.base_minor is null then 'no_price' when f.to_period = 'once' then 'nothing_to_renew' end
from final f left join lateral (
  select c.id, c.motion, c.due_at from subscription_charge c
  where f.state = 'past_due' and c.member_id = f.member_id and c.subscription_id = f.id and c.state = 'unpaid' and c.term = f.term + 1
) u on true
$$;

revoke execute on function next_terms(subscription[]) from public;
grant execute on function next_terms(subscription[]) to app_member, app_staff, app_system;
