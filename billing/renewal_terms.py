"""The term that follows: what it would be, what it costs, and which rows each outcome of its charge leaves. No database here."""

import uuid
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from billing import subscription_charges, wallets
from core.ids import derived, request_hash
from core.money import tax_included
from membership import motions, subscription_notices, terms


@dataclass(frozen=True, slots=True)
class Standing:
    """A subscription as a motion sees it."""

    member_id: uuid.UUID
    id: uuid.UUID
    currency: str
    term: int
    rank: int
    seats: int


@dataclass(frozen=True, slots=True)
class NextTerm:
    """A due subscription and the term it is to be charged for. `row` is one row of the due query."""

    row: Any
    rank: int
    seats: int
    has_price: bool
    price_minor: int
    same_price_minor: int  # at the present edition and seats: what a mere renewal would cost
    tax_minor: int
    term_end: datetime
    at: datetime
    retry_at: datetime
    grace_until: datetime

    @property
    def charge_id(self) -> uuid.UUID:
        """The same for every attempt at this term."""
        return derived("renewal", self.row.id, self.row.term + 1)

    @property
    def motion(self) -> str:
        """`new` for the first term after a trial."""
        return self.row.charge_motion or ("new" if self.row.state == "trialing" else "renewal")

    @property
    def is_charged(self) -> bool:
        """A cancelled one is not, nor one that costs nothing or has no price."""
        return not self.row.cancel_at_term_end and self.has_price and self.price_minor > 0

    @property
    def arr_before_minor(self) -> int:
        """ARR so far; a trial has none."""
        return 0 if self.motion == "new" else terms.annualised(self.row.term_price_minor, self.row.period)

    def charge_request(self, at: datetime) -> wallets.ChargeRequest:
        """The charge of this term."""
        hashed = request_hash("renewal", subscription=self.row.id, term=self.row.term + 1, amount_minor=self.price_minor)
        parts = subscription_charges.targets(self.price_minor, self.tax_minor)
        return wallets.ChargeRequest(self.row.member_id, self.charge_id, hashed, "subscription", self.row.currency, at, parts)

    def judge(self, result: wallets.ChargeResult | None) -> str:
        """renewed, past_due, ended or parked."""
        if self.row.cancel_at_term_end:
            return "ended"
        if not self.has_price or (result and result.status == "id_reused"):
            return "parked"
        if result is None or result.status in ("new", "replayed"):
            return "renewed"
        return "past_due" if self.at < self.grace_until else "ended"


@dataclass(slots=True)
class Written:
    """The rows one outcome leaves."""

    subscription: dict[str, Any]
    charges: list[dict[str, Any]] = field(default_factory=list)
    motions: list[dict[str, Any]] = field(default_factory=list)
    notices: list[dict[str, Any]] = field(default_factory=list)
    withdrawn: list[tuple[uuid.UUID, uuid.UUID]] = field(default_factory=list)


def next_term(row: Any, at: datetime, retry: timedelta, grace: timedelta) -> NextTerm:
    """The term after the present one: planned edition and seats (never fewer than are held), at the prices in force when it begins."""
    rank, seats = row.next_rank or row.rank, max(row.next_seats or row.seats, row.seats_taken)
    has_price = row.base_minor is not None
    price = terms.term_price(row.base_minor, row.seat_minor, seats) if has_price else 0
    same = terms.term_price(row.same_base_minor, row.same_seat_minor, row.seats) if row.same_base_minor is not None else row.term_price_minor
    grace_until = (row.due_at or at) + grace  # counted from the first attempt, so that nobody ends without having been told
    return NextTerm(
        row, rank, seats, has_price, price, same, tax_included(price, row.tax_rate_bp),
        terms.term_end(row.term_end, row.period, row.anchor_day, row.timezone), at, min(at + retry, grace_until), grace_until,
    )  # fmt: skip


def outcome_rows(one: NextTerm, outcome: str, result: wallets.ChargeResult | None, at: datetime) -> Written:
    """What to write down for an outcome of `judge`."""
    write = {"renewed": _renewed, "past_due": _past_due, "ended": _ended, "parked": _parked}[outcome]
    return write(one, result, at)


def _subscription(one: NextTerm, **new: Any) -> dict[str, Any]:
    row = one.row
    kept = ("member_id", "id", "state", "term", "rank", "seats", "next_rank", "next_seats", "term_start", "term_end", "term_price_minor", "ended_at",
            "next_attempt_at", "failed_attempts")  # fmt: skip
    return {name: getattr(row, name) for name in kept} | new


def _charge(one: NextTerm, state: str, at: datetime) -> dict[str, Any]:
    row = one.row
    return {
        "member_id": row.member_id, "id": one.charge_id, "subscription_id": row.id, "motion": one.motion, "term": row.term + 1, "currency": row.currency,
        "amount_minor": one.price_minor, "tax_minor": one.tax_minor, "service_from": row.term_end, "service_until": one.term_end, "state": state,
        "due_at": row.due_at or at, "paid_at": at if state == "paid" else None,
    }  # fmt: skip


def _standing(one: NextTerm) -> Standing:
    row = one.row
    return Standing(row.member_id, row.id, row.currency, row.term, row.rank, row.seats)


def _notice(one: NextTerm, kind: str, told_at: datetime, term: int, **details: Any) -> dict[str, Any]:
    names = {"name_zh": one.row.name_zh, "name_en": one.row.name_en}
    return subscription_notices.row(one.row.member_id, kind, {**names, **details}, told_at, f"{kind}:{one.row.id}:{term}")


def _unpaid_notice(one: NextTerm) -> list[tuple[uuid.UUID, uuid.UUID]]:
    key = subscription_notices.past_due_key(one.row.id, one.row.term + 1)
    return [(one.row.member_id, subscription_notices.notice_id(one.row.member_id, key))] if one.row.charge_id else []


def _day(one: NextTerm, at: datetime) -> str:
    return terms.local_day(at, one.row.timezone).isoformat()


def _renewed(one: NextTerm, _result: wallets.ChargeResult | None, at: datetime) -> Written:
    row = one.row
    subscription = _subscription(
        one, state="active", term=row.term + 1, rank=one.rank, seats=one.seats, next_rank=None, next_seats=None, term_start=row.term_end,
        term_end=one.term_end, term_price_minor=one.price_minor, next_attempt_at=one.term_end, failed_attempts=0,
    )  # fmt: skip
    told = _notice(one, "subscription_renewed", at, row.term + 1, amount_minor=one.price_minor, currency=row.currency, until=_day(one, one.term_end))
    return Written(subscription, [_charge(one, "paid", at)], _renewal_motions(one, at), [told], _unpaid_notice(one))


def _renewal_motions(one: NextTerm, at: datetime) -> list[dict[str, Any]]:
    """The renewal at its price, then what was planned for it (less edition, fewer seats), each with its own step of ARR."""
    row, standing = one.row, replace(_standing(one), term=one.row.term + 1)
    total = terms.annualised(one.price_minor, row.period)
    if one.motion == "new":
        return [motions.motion(replace(standing, rank=one.rank, seats=one.seats), "new", at, 0, total, amount_minor=one.price_minor, motion_id=one.charge_id)]
    same = terms.annualised(one.same_price_minor, row.period)
    rows = [motions.motion(standing, "renewal", at, one.arr_before_minor, same, amount_minor=one.price_minor, motion_id=one.charge_id)]
    arr, standing = same, replace(standing, rank=one.rank)
    if one.rank != row.rank:
        arr = terms.annualised(terms.term_price(row.base_minor, row.seat_minor, row.seats), row.period)
        rows.append(motions.motion(standing, "downgrade", at, same, arr, cause=one.charge_id))
    if one.seats != row.seats:
        rows.append(motions.motion(replace(standing, seats=one.seats), "seats", at, arr, total, cause=one.charge_id))
    return rows


def _past_due(one: NextTerm, result: wallets.ChargeResult | None, at: datetime) -> Written:
    row = one.row
    assert result is not None
    subscription = _subscription(one, state="past_due", next_attempt_at=one.retry_at, failed_attempts=row.failed_attempts + 1)
    written = Written(subscription, [_charge(one, "unpaid", at)])
    if row.charge_id is None:  # the first time: say so, once
        arr = one.arr_before_minor
        written.motions.append(motions.motion(_standing(one), "past_due", at, arr, arr, cause=one.charge_id))
        missing = result.missing_minor or one.price_minor  # a frozen wallet lacks all of it
        details = {"amount_minor": one.price_minor, "missing_minor": missing, "currency": row.currency, "until": _day(one, one.grace_until)}
        written.notices.append(_notice(one, "subscription_past_due", at, row.term + 1, **details))
    return written


def _ended(one: NextTerm, _result: wallets.ChargeResult | None, at: datetime) -> Written:
    """Cancelled: it ends with its term. Unpaid until the days of grace were over: it ends now."""
    row = one.row
    ended_at = row.term_end if row.cancel_at_term_end else at
    written = Written(_subscription(one, state="ended", ended_at=ended_at, next_attempt_at=None), withdrawn=_unpaid_notice(one))
    written.motions.append(motions.motion(_standing(one), "lapse", at, one.arr_before_minor, 0, cause=row.term))
    if row.charge_id is not None:
        written.charges.append(_charge(one, "void", at))
    written.notices.append(_notice(one, "subscription_ended", at, row.term, at=_day(one, ended_at)))
    return written


def _parked(one: NextTerm, _result: wallets.ChargeResult | None, _at: datetime) -> Written:
    """Something is wrong with our own data: charge nothing, stop nobody else, look again later."""
    return Written(_subscription(one, next_attempt_at=one.retry_at, failed_attempts=one.row.failed_attempts + 1))
