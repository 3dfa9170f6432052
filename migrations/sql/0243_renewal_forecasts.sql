-- What renewals are going to take from each wallet, in the order in which they will: `lacking_minor` is what the wallet lacks once everything before has
-- been paid. Money that expires before the day does not count, a frozen wallet pays nothing, and bonus does not pay tax.
create type renewal_forecast as (
  member_id uuid, subscription_id uuid, product_line text, currency text, timezone text, state text, rank bigint, seats bigint, period text,
  begins_at timestamptz, ends_at timestamptz, price_minor bigint, tax_minor bigint, charge_id uuid, due_at timestamptz, is_cancelled boolean, fault text,
  available_minor bigint, lacking_minor bigint
);
create function forecast_renewals(rows subscription[]) returns setof renewal_forecast language sql stable as $$
  select n.member_id, n.id, n.product_line, n.currency, n.timezone, n.state, n.rank, n.seats, n.period, n.begins_at, n.ends_at, n.price_minor, n.tax_minor,
    n.charge_id, n.due_at, n.is_cancelled, n.fault, w.paid + w.bonus,
    case when n.is_charged then least(n.price_minor, greatest(0, sum(n.price_minor) filter (where n.is_charged) over wallet - w.paid - w.bonus,
      sum(n.tax_minor) filter (where n.is_charged) over wallet - w.paid))::bigint else 0 end
  from next_terms(rows) n
  left join wallet v on v.member_id = n.member_id and v.currency = n.currency
  cross join lateral (
    select case when v.state = 'open' then coalesce(sum(g.remaining_minor - g.held_minor) filter (where g.kind = 'paid'), 0)::bigint
        + greatest(v.credit_limit_minor - v.receivable_minor, 0) else 0 end as paid,
      case when v.state = 'open' then coalesce(sum(g.remaining_minor - g.held_minor) filter (where g.kind = 'bonus'), 0)::bigint else 0 end as bonus
    from wallet_grant g where g.member_id = n.member_id and g.currency = n.currency and g.is_open and (g.expires_at is null or g.expires_at > n.begins_at)
  ) w
  window wallet as (partition by n.member_id, n.currency order by n.begins_at, n.started_at, n.id rows unbounded preceding)
$$;

-- The price increases that these subscriptions have to be told of at `at`: dearer lists that they do not know, each with the first term it can hold for: not
-- before it is in force, not within a commitment, and not sooner than `notice_days` from now. It is time for it a day before that, so that the
-- hour at which the job runs takes nothing from the promise.
create function unannounced_increases(rows subscription[], at timestamptz, notice_days bigint) returns setof price_notice language sql stable as $$
  select distinct on (s.member_id, s.id, t.begins_at)
    s.member_id, named_id('price_notice:' || s.id || ':' || extract(epoch from p.valid_from)), s.id, p.valid_from, t.begins_at, unannounced_increases.at,
    o.base_minor + c.seats * o.seat_minor, p.base_minor + c.seats * p.seat_minor
  from unnest(rows) s
  join member m on m.id = s.member_id join legal_entity e on e.id = m.entity_id
  cross join lateral (select coalesce(s.next_rank, s.rank) as rank, coalesce(s.next_period, s.period) as period, coalesce(s.next_seats, s.seats) as seats,
    greatest(coalesce(s.priced_at, case when s.committed_until >= s.term_end then s.price_locked_at end, s.term_start),
      (select max(x.valid_from) from price_notice x where x.member_id = s.member_id and x.subscription_id = s.id)) as knows_at,
    greatest(s.term_end, s.committed_until) as free_from) c
  join lateral (select * from edition_price y where y.product_line = s.product_line and y.rank = c.rank and y.currency = s.currency and y.period = c.period
    and y.valid_from <= c.knows_at order by y.valid_from desc limit 1) o on true
  join edition_price p on p.product_line = s.product_line and p.rank = c.rank and p.currency = s.currency and p.period = c.period
    and p.valid_from > c.knows_at and p.base_minor + c.seats * p.seat_minor > o.base_minor + c.seats * o.seat_minor
  cross join lateral (
    select min(b.at) as first_at, min(b.at) filter (where b.at >= unannounced_increases.at + make_interval(hours => 24 * notice_days::int)) as begins_at
    from (select case k when 0 then s.term_end else end_of_term(s.term_end, c.period, s.anchor_day, e.timezone, k) end as at from generate_series(0, 60) k) b
    where b.at >= greatest(p.valid_from, c.free_from)
  ) t
  where t.first_at <= unannounced_increases.at + make_interval(hours => 24 * (notice_days::int + 1)) and t.begins_at is not null
  order by s.member_id, s.id, t.begins_at, p.valid_from desc
$$;

revoke execute on function forecast_renewals(subscription[]), unannounced_increases(subscription[], timestamptz, bigint) from public;
grant execute on function forecast_renewals(subscription[]) to app_member, app_staff, app_system;
grant execute on function unannounced_increases(subscription[], timestamptz, bigint) to app_staff, app_system;

grant delete on edition_price to app_staff;  -- one that is not in force and not announced may be taken back; billing/subscription/price_changes.py refuses the others
create index subscription_parked_idx on subscription (parked_at) where parked_at is not null;
create index subscription_past_due_idx on subscription (member_id) where state = 'past_due';
create index subscription_lapsed_idx on subscription (ended_at) where state = 'ended' and not cancel_at_term_end;  -- ended for want of money: whom to win back
