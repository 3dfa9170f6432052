"""What members are told ahead of a renewal, and after one that never came: set by set, each thing once."""

from datetime import datetime, timedelta

from flask import current_app
from sqlalchemy import text

from billing.wallet import wallets
from core.db import db
from core.settings import Settings

BATCH = 5_000
_NAMES = "'name_zh', l.name_zh || ' · ' || e.name_zh, 'name_en', l.name_en || ' · ' || e.name_en"
_UPCOMING = text(f"""
with soon as materialized (
  select s from subscription s where s.state in ('trialing', 'active') and s.next_attempt_at > :at and s.next_attempt_at <= :until
    and s.told_term is distinct from s.term and (not s.cancel_at_term_end or s.committed_until > s.term_end)
  order by s.next_attempt_at, s.member_id limit :most for no key update skip locked
), coming as materialized (
  select f.* from forecast_renewals(array(
    select s from subscription s where s.state in ('trialing', 'active', 'past_due') and s.next_attempt_at <= :until
      and s.member_id = any (array(select (x.s).member_id from soon x))), :order) f
  join soon x on (x.s).member_id = f.member_id and (x.s).id = f.subscription_id
), marked as (
  update subscription s set told_term = s.term from coming c where s.member_id = c.member_id and s.id = c.subscription_id returning s.id
), told as (
  insert into notice (member_id, id, kind, details, at)
  select c.member_id, named_id('notice:renewal_upcoming:' || c.charge_id), 'renewal_upcoming', jsonb_build_object('subscription_id', c.subscription_id,
    {_NAMES}, 'amount_minor', c.price_minor, 'missing_minor', c.lacking_minor, 'currency', c.currency, 'on', (c.begins_at at time zone c.timezone)::date), :at
  from coming c join product_line l on l.code = c.product_line join edition e on e.product_line = c.product_line and e.rank = c.rank
  where c.fault is null and c.price_minor > 0
  on conflict do nothing
)
select count(*) from marked
""")  # noqa: S608 (made of constants)
_PRICES = text(f"""
with soon as materialized (
  select s from subscription s where s.state in ('trialing', 'active', 'past_due') and s.next_attempt_at <= :until and (s.member_id, s.id) > (:member, :id)
    and exists (select from edition_price p where p.product_line = s.product_line and p.currency = s.currency
      and p.valid_from > coalesce(s.priced_at, case when s.committed_until >= s.term_end then s.price_locked_at end, s.term_start))
  order by s.member_id, s.id limit :most
), due as materialized (select u.* from unannounced_increases(array(select s from soon), :at, :days) u
), kept as (
  insert into price_notice select * from due on conflict do nothing returning *
), told as (
  insert into notice (member_id, id, kind, details, at)
  select k.member_id, named_id('notice:price_change:' || k.id), 'price_change', jsonb_build_object('subscription_id', k.subscription_id, {_NAMES},
    'amount_minor', k.new_minor, 'old_minor', k.old_minor, 'currency', s.currency, 'on', (k.applies_from at time zone t.timezone)::date), :at
  from kept k join subscription s on s.member_id = k.member_id and s.id = k.subscription_id
  join member m on m.id = s.member_id join legal_entity t on t.id = m.entity_id
  join product_line l on l.code = s.product_line join edition e on e.product_line = s.product_line and e.rank = coalesce(s.next_rank, s.rank)
  on conflict do nothing
)
select (x.s).member_id, (x.s).id, (select count(*) from kept) as told from soon x order by (x.s).member_id desc, (x.s).id desc limit 1
""")  # noqa: S608
_WIN_BACK = text(f"""
insert into notice (member_id, id, kind, details, at)
select s.member_id, named_id('notice:win_back:' || s.id), 'win_back', jsonb_build_object('subscription_id', s.id, {_NAMES}, 'currency', s.currency,
  'amount_minor', gross_of(p.base_minor + s.seats * p.seat_minor, tax_rate_at(m.entity_id, :at), p.excludes_tax),
  'at', (s.ended_at at time zone t.timezone)::date), :at
from subscription s join member m on m.id = s.member_id and m.state = 'active' join legal_entity t on t.id = m.entity_id
join product_line l on l.code = s.product_line join edition e on e.product_line = s.product_line and e.rank = s.rank
join lateral (select * from edition_price y where y.product_line = s.product_line and y.rank = s.rank and y.currency = s.currency and y.period = s.period
  and y.valid_from <= :at order by y.valid_from desc limit 1) p on true
where s.state = 'ended' and not s.cancel_at_term_end and s.ended_at > :since and s.ended_at <= :until and s.licensing = 'rental'
  and not exists (select from subscription x where x.member_id = s.member_id and x.product_line = s.product_line and x.state <> 'ended')
on conflict do nothing
""")  # noqa: S608
LATE = timedelta(days=30)  # an end that the job missed for longer is not worth a word any more


def _settings() -> Settings:
    return current_app.extensions["settings"]  # type: ignore[no-any-return]


def tell_upcoming(at: datetime, limit: int = BATCH) -> int:
    """Announce renewals of the next `renewal_notice_days`: amount, day, and what the wallet lacks. Call it until it returns 0."""
    until = at + timedelta(days=_settings().renewal_notice_days)
    return db.session.scalar(_UPCOMING, {"at": at, "until": until, "most": limit, "order": wallets.consumption_order()}) or 0


def tell_increases(at: datetime, after: tuple[object, object] | None = None, limit: int = BATCH) -> tuple[tuple[object, object] | None, int]:
    """Announce dearer prices, `price_change_notice_days` before the renewal that they hold for. Returns where to go on (None: done) and how many were told."""
    days = _settings().price_change_notice_days
    member, subscription = after or ("00000000-0000-0000-0000-000000000000",) * 2
    last = db.session.execute(
        _PRICES, {"at": at, "days": days, "until": at + timedelta(days=days + 1), "member": member, "id": subscription, "most": limit}
    ).one_or_none()
    return ((last.member_id, last.id), last.told) if last else (None, 0)


def win_back(at: datetime) -> int:
    """Ask members whose subscription ended for want of money `win_back_days` ago to come back; once each, and not who has started again."""
    until = at - timedelta(days=_settings().win_back_days)
    return db.session.execute(_WIN_BACK, {"at": at, "since": until - LATE, "until": until}).rowcount  # type: ignore[attr-defined, no-any-return]
