-- Prices without tax (decision 0049). A price says of itself whether tax comes on top of it; what is charged, kept and given back is always the sum with tax.
-- A legal entity says, from a midnight on, how the prices that begin from then on are stated; a price that is there keeps its meaning.
alter table legal_entity add column prices_exclude_tax boolean not null default false;  -- until the first tax_rate begins
alter table tax_rate add column prices_exclude_tax boolean not null default false;
alter table edition_price add column excludes_tax boolean not null default false;

-- What is paid for a stated price: itself where tax is inside, else with tax on top, half up. The same answer as core/money.py: gross_of. Of the sum that it
-- gives, tax_inside at the same rate is exactly the tax that was put on top (decision 0049 says why), so nothing need carry the tax along.
create function gross_of(stated_minor bigint, rate_bp bigint, excludes_tax boolean) returns bigint language sql immutable parallel safe as $$
  select stated_minor + case when excludes_tax then sign(stated_minor)::bigint * ((2 * abs(stated_minor) * rate_bp + 10000) / 20000) else 0 end
$$;

-- As in 0244, with tax on top of lists that leave it out, at the rate in force when the term begins. Lists are compared by what is paid.
create or replace function next_terms(rows subscription[]) returns setof next_term language plpgsql stable
set plan_cache_mode = force_custom_plan set enable_seqscan = off set enable_mergejoin = off as $$
#variable_conflict use_column
begin
return query
with given as materialized (
  select s.member_id, s.id, s.product_line, s.currency, s.state, s.licensing, s.started_at, s.rank, s.seats, s.period, s.term_price_minor, s.term, s.term_end,
    s.anchor_day, s.cancel_at_term_end, s.told_term, m.entity_id, m.state as member_state, s.committed_until > s.term_end is true as is_instalment,
    case when s.committed_until > s.term_end then s.rank else coalesce(s.next_rank, s.rank) end as to_rank,
    case when s.committed_until > s.term_end then s.period else coalesce(s.next_period, s.period) end as to_period,
    case when s.committed_until > s.term_end or s.next_seats is null then s.seats
      else greatest(s.next_seats, (select count(*) from app_user u where u.member_id = s.member_id and u.seat_subscription_id = s.id)) end as to_seats,
    case when s.committed_until > s.term_end then s.price_locked_at else s.term_end end as list_at,
    coalesce(s.priced_at, case when s.committed_until >= s.term_end then s.price_locked_at end, s.term_start) as was_list_at
  from unnest(rows) s left join lateral (select x.entity_id, x.state from member x where x.id = s.member_id offset 0) m on true
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
  select p.*, gross_of(p.base_minor + p.to_seats * p.seat_minor, p.rate_bp, p.excludes_tax) as price_minor from priced p
)
select f.member_id, f.id, f.product_line, f.currency, f.timezone, f.state, f.licensing = 'perpetual', f.started_at,
  f.rank, f.seats, f.period, f.term_price_minor, f.term + 1, f.to_rank, f.to_seats, f.to_period, f.term_end, f.ends_at,
  f.base_minor, f.seat_minor, f.price_minor, tax_inside(f.price_minor, f.rate_bp),
  case when f.to_rank = f.rank and f.to_period = f.period then gross_of(f.base_minor + f.seats * f.seat_minor, f.rate_bp, f.excludes_tax) else coalesce(
    (select gross_of(p.base_minor + f.seats * p.seat_minor, f.rate_bp, p.excludes_tax) from edition_price p where p.product_line = f.product_line and p.rank = f.rank and p.currency = f.currency
      and p.period = f.period and p.valid_from <= coalesce(f.held_at, f.list_at) order by p.valid_from desc limit 1), f.term_price_minor) end,
  gross_of(f.base_minor + f.seats * f.seat_minor, f.rate_bp, f.excludes_tax), f.held_at,
  coalesce(u.id, named_id('renewal:' || f.id || ':' || f.term + 1)), coalesce(u.motion, case f.state when 'trialing' then 'new' else 'renewal' end), u.due_at,
  v.is_cancelled, f.told_term is not distinct from f.term, v.fault,
  not v.is_cancelled and v.fault is null and f.price_minor > 0
from totalled f
left join lateral (
  select c.id, c.motion, c.due_at from subscription_charge c
  where f.state = 'past_due' and c.member_id = f.member_id and c.subscription_id = f.id and c.state = 'unpaid' and c.term = f.term + 1 offset 0
) u on true
cross join lateral (select f.cancel_at_term_end and not f.is_instalment,
  case when f.member_state is null then 'no_member' when f.member_state <> 'active' then 'member_closed' when f.ends_at is null then 'no_calendar'
    when f.base_minor is null then 'no_price' when f.to_period = 'once' then 'nothing_to_renew' end) v(is_cancelled, fault)
order by not (not v.is_cancelled and v.fault is null and f.price_minor > 0) is true, f.member_id, f.term_end, f.started_at, f.id;
end $$;

-- As in 0243: whether a list is dearer, and what members are told, is what is paid for the first term that it can hold for.
create or replace function unannounced_increases(rows subscription[], at timestamptz, notice_days bigint) returns setof price_notice language sql stable as $$
  select distinct on (s.member_id, s.id, t.begins_at)
    s.member_id, named_id('price_notice:' || s.id || ':' || extract(epoch from p.valid_from)), s.id, p.valid_from, t.begins_at, unannounced_increases.at,
    gross_of(o.base_minor + c.seats * o.seat_minor, t.rate_bp, o.excludes_tax), gross_of(p.base_minor + c.seats * p.seat_minor, t.rate_bp, p.excludes_tax)
  from unnest(rows) s
  join member m on m.id = s.member_id join legal_entity e on e.id = m.entity_id
  cross join lateral (select coalesce(s.next_rank, s.rank) as rank, coalesce(s.next_period, s.period) as period, coalesce(s.next_seats, s.seats) as seats,
    greatest(coalesce(s.priced_at, case when s.committed_until >= s.term_end then s.price_locked_at end, s.term_start),
      (select max(x.valid_from) from price_notice x where x.member_id = s.member_id and x.subscription_id = s.id)) as knows_at,
    greatest(s.term_end, s.committed_until) as free_from) c
  join lateral (select * from edition_price y where y.product_line = s.product_line and y.rank = c.rank and y.currency = s.currency and y.period = c.period
    and y.valid_from <= c.knows_at order by y.valid_from desc limit 1) o on true
  join edition_price p on p.product_line = s.product_line and p.rank = c.rank and p.currency = s.currency and p.period = c.period
    and p.valid_from > c.knows_at
  cross join lateral (
    select v.*, tax_rate_at(m.entity_id, v.begins_at) as rate_bp from (
    select min(b.at) as first_at, min(b.at) filter (where b.at >= unannounced_increases.at + make_interval(hours => 24 * notice_days::int)) as begins_at
    from (select case k when 0 then s.term_end else end_of_term(s.term_end, c.period, s.anchor_day, e.timezone, k) end as at from generate_series(0, 60) k) b
    where b.at >= greatest(p.valid_from, c.free_from)) v
  ) t
  where t.first_at <= unannounced_increases.at + make_interval(hours => 24 * (notice_days::int + 1)) and t.begins_at is not null
    and gross_of(p.base_minor + c.seats * p.seat_minor, t.rate_bp, p.excludes_tax) > gross_of(o.base_minor + c.seats * o.seat_minor, t.rate_bp, o.excludes_tax)
  order by s.member_id, s.id, t.begins_at, p.valid_from desc
$$;
