"""The simple wallet, able to give back: refunds, money back to cards, disputes and corrections, in plain Python."""

import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction

from billing.ledger.accounts import Account as A
from core.money import round_half_up, split
from tests.billing.ledger_model import NEVER, OWN_PARTS, WALLET, GrantModel, LotModel, Part, WalletModel

GRACE = timedelta(days=30)


@dataclass
class Outgoing:
    """A refund to a card, or a dispute: what it took out of the wallet."""

    top_up: uuid.UUID
    amount: int
    bonus: int = 0
    reserved: int = 0
    fee: int = 0
    state: str = "pending"


@dataclass
class GivingWallet(WalletModel):
    """One member's book that also gives back. Every answer is a word: new, replayed, or why not."""

    given: Counter[tuple[uuid.UUID, uuid.UUID | None, A]] = field(default_factory=Counter)  # (charge, grant, account): fen given back
    outgoing: dict[uuid.UUID, Outgoing] = field(default_factory=dict)
    disputes: dict[str, Outgoing] = field(default_factory=dict)
    corrected: set[uuid.UUID] = field(default_factory=set)
    settled: Counter[uuid.UUID] = field(default_factory=Counter)  # what of a top-up paid what was owed

    @property
    def is_frozen(self) -> bool:
        return any(one.state == "open" for one in self.disputes.values())

    def credit(
        self, id: uuid.UUID, request_hash: bytes, paid: int, bonus: int, source: A, bonus_source: A, expires_at: datetime | None, priority: int, at: datetime
    ) -> str:
        if id not in self.first:
            self.settled[id] = min(paid, self.owed)
        return super().credit(id, request_hash, paid, bonus, source, bonus_source, expires_at, priority, at)

    def charge(
        self, id: uuid.UUID, request_hash: bytes, parts: list[Part], at: datetime, order: str = "bonus_first", hold_id: uuid.UUID | None = None
    ) -> tuple[str, int]:
        if self.is_frozen and id not in self.first:
            self.expire(at)
            return "frozen", 0
        return super().charge(id, request_hash, parts, at, order, hold_id)

    def earn_back(self, lot: LotModel, own: A | None) -> None:
        if own is not None:
            earned = max(0, self.share(lot) - lot.earned)
            lot.earned += earned
            self.move(own, A.BONUS_DISCOUNT, earned)
        self.settle(lot)

    def share(self, lot: LotModel) -> int:
        """Of the discount, what belongs to what is spent."""
        return round_half_up(Fraction(lot.discount * lot.spent, lot.face)) if lot.face else 0

    @contextmanager
    def changing(self, lot: LotModel | None, own: A) -> Iterator[None]:
        """Around anything that changes a lot: breakage is undone before, worked out anew after; what is earned too much goes back."""
        if lot is None:
            yield
            return
        if lot.face and lot.spent + lot.expired == lot.face:
            self.move(A.BREAKAGE_REVENUE, A.BONUS_DISCOUNT, lot.earned + lot.expired - lot.discount)
        yield
        back = max(0, lot.earned - self.share(lot))
        lot.earned -= back
        self.move(A.BONUS_DISCOUNT, own, back)
        if lot.face:
            self.settle(lot)

    def open_of(self, charge: uuid.UUID, account: A) -> list[tuple[GrantModel | None, int]]:
        return [(grant, amount - self.given[charge, grant and grant.id, account]) for grant, fed, amount in self.draws[charge] if fed is account]

    def put_back(self, grant: GrantModel, amount: int, at: datetime) -> None:
        """Money comes back to a grant; an empty or expired one lives for the grace period."""
        if amount and grant.expires_at is not NEVER and (not grant.remaining or grant.expires_at <= at):
            grant.expires_at = max(grant.expires_at, at + GRACE)
        grant.remaining += amount

    def refund(self, id: uuid.UUID, request_hash: bytes, charge: uuid.UUID, parts: list[tuple[A, int]], at: datetime) -> str:
        if charge not in self.draws:
            return "no_such_charge"
        if status := self.known(id, request_hash):
            return status
        back: list[tuple[GrantModel | None, A, int]] = []
        for account, amount in parts:
            still = self.open_of(charge, account)
            if sum(left for _grant, left in still) < amount:
                return "refund_too_large"
            shares = split(amount, [left for _grant, left in still])
            back += [(grant, account, share) for (grant, _left), share in zip(still, shares, strict=True) if share]
        self.expire(at)
        own = next((account for account, _amount in parts if account in OWN_PARTS), None)
        own = own or next((fed for _grant, fed, _amount in self.draws[charge] if fed in OWN_PARTS), A.BREAKAGE_REVENUE)
        grants: list[GrantModel] = []
        for grant, _account, _share in back:
            if grant and all(grant is not one for one in grants):
                grants.append(grant)
        for grant in grants:
            self.put_back(grant, sum(share for one, _account, share in back if one is grant), at)
        for lot in unique([grant.lot for grant in grants]):
            with self.changing(lot, own):
                lot.spent -= sum(share for grant, _account, share in back if grant and grant.lot is lot)
        fresh = 0
        for grant, account, share in back:
            self.given[charge, grant and grant.id, account] += share
            if grant:
                self.move(account, WALLET[grant.kind], share)
                continue
            lowered = min(share, self.owed)  # bought on credit: what is owed falls; what was paid since comes back as paid money
            self.move(account, A.MEMBER_RECEIVABLE, lowered)
            self.move(account, A.WALLET_PAID, share - lowered)
            fresh += share - lowered
        if fresh:
            self.grants.append(GrantModel(id, "paid", fresh, 0, at, NEVER, None))
        self.write(id, request_hash)
        return "new"

    def parts_open(self, charge: uuid.UUID) -> list[tuple[A, int]]:
        accounts = list(dict.fromkeys(fed for _grant, fed, _amount in self.draws[charge]))
        return [(account, sum(left for _grant, left in self.open_of(charge, account))) for account in accounts]

    def of_top_up(self, top_up: uuid.UUID, kind: str) -> GrantModel | None:
        paid = next(grant for grant in self.grants if grant.id == top_up)
        if kind == "paid":
            return paid
        return next((grant for grant in self.grants if paid.lot and grant.lot is paid.lot and grant.kind == "bonus"), None)

    def refundable(self, top_up: uuid.UUID) -> int:
        paid, bonus = self.of_top_up(top_up, "paid"), self.of_top_up(top_up, "bonus")
        assert paid
        used = bonus.lot.discount - bonus.lot.expired - bonus.remaining if bonus and bonus.lot else 0
        return max(0, paid.remaining - paid.held - max(0, used))

    def begin(self, id: uuid.UUID, top_up: uuid.UUID, amount: int, at: datetime) -> str:
        if self.is_frozen:
            return "wallet_frozen"
        if amount > self.refundable(top_up):
            return "not_refundable"
        self.expire(at)
        bonus = self.of_top_up(top_up, "bonus")
        lot = bonus.lot if bonus else None
        taken = min(bonus.remaining - bonus.held, lot.discount * amount // (lot.face - lot.discount)) if bonus and lot else 0
        self.outgoing[id] = Outgoing(top_up, amount, taken)
        self.shift(top_up, -amount, -taken, A.REFUND_PENDING, at)
        self.write(id, b"")
        return "new"

    def end(self, id: uuid.UUID, outcome: str, at: datetime) -> bool:
        one = self.outgoing[id]
        if one.state in (outcome, "failed"):
            return False
        self.expire(at)
        if outcome == "confirmed":
            self.move(A.REFUND_PENDING, A.STRIPE_CLEARING, one.amount)
        else:
            self.shift(one.top_up, one.amount, one.bonus, A.REFUND_PENDING if one.state == "pending" else A.STRIPE_CLEARING, at)
        one.state = outcome
        self.transactions += 1
        return True

    def shift(self, top_up: uuid.UUID, amount: int, bonus_amount: int, account: A, at: datetime) -> None:
        """Paid money and bonus of a top-up leave its lot, or come back."""
        paid, bonus = self.of_top_up(top_up, "paid"), self.of_top_up(top_up, "bonus")
        assert paid
        with self.changing(paid.lot, A.BREAKAGE_REVENUE):
            if paid.lot:
                paid.lot.face += amount + bonus_amount
                paid.lot.discount += bonus_amount
            self.move(account, A.WALLET_PAID, amount)
            self.put_back(paid, amount, at)
            if bonus and bonus_amount:
                self.move(A.BONUS_DISCOUNT, A.WALLET_BONUS, bonus_amount)
                self.put_back(bonus, bonus_amount, at)

    def dispute(self, name: str, top_up: uuid.UUID, amount: int, fee: int, at: datetime) -> None:
        self.expire(at)
        if name in self.disputes:
            return
        paid = self.of_top_up(top_up, "paid")
        assert paid
        one = self.disputes[name] = Outgoing(top_up, amount, reserved=min(amount, paid.remaining - paid.held), fee=fee, state="open")
        self.move(A.DISPUTE_RECEIVABLE, A.STRIPE_CLEARING, amount)
        self.move(A.DISPUTE_FEES, A.STRIPE_CLEARING, fee)
        self.shift(top_up, -one.reserved, 0, A.DISPUTE_RESERVE, at)
        self.transactions += 1

    def decide(self, name: str, outcome: str, topped_up: int, at: datetime) -> None:
        self.expire(at)
        one = self.disputes[name]
        if one.state != "open":
            return
        one.state = outcome
        if outcome == "won":
            self.move(A.STRIPE_CLEARING, A.DISPUTE_RECEIVABLE, one.amount)
            self.move(A.STRIPE_CLEARING, A.DISPUTE_FEES, one.fee)
            self.shift(one.top_up, one.reserved, 0, A.DISPUTE_RESERVE, at)
        else:
            bonus = self.of_top_up(one.top_up, "bonus")
            left = (bonus.remaining - bonus.held) * one.amount // topped_up if bonus else 0
            self.move(A.DISPUTE_RESERVE, A.DISPUTE_RECEIVABLE, one.reserved)
            self.move(A.MEMBER_RECEIVABLE, A.DISPUTE_RECEIVABLE, one.amount - one.reserved)
            self.shift(one.top_up, 0, -left, A.DISPUTE_RESERVE, at)
        self.transactions += 1

    def correct_charge(self, id: uuid.UUID, request_hash: bytes, charge: uuid.UUID, at: datetime) -> str:
        if charge in self.corrected or any(left != amount for left, amount in self._open_and_charged(charge)):
            return "not_correctable"
        self.corrected.add(charge)
        return self.refund(id, request_hash, charge, self.parts_open(charge), at)

    def _open_and_charged(self, charge: uuid.UUID) -> list[tuple[int, int]]:
        return [(amount - self.given[charge, grant and grant.id, fed], amount) for grant, fed, amount in self.draws[charge]]

    def free_at(self, grant: GrantModel, at: datetime) -> int:
        """What of a grant is there and not held, once holds that have ended by then have given theirs back."""
        ended = sum(hold.draws[self.grants.index(grant)] for hold in self.holds.values() if hold.is_open and hold.expires_at <= at)
        return grant.remaining - grant.held + ended if grant.expires_at > at else 0

    def correct_credit(self, credit: uuid.UUID, grants: list[tuple[GrantModel, int, A]], source: A, at: datetime) -> str:
        """`grants`: what the credit had granted, how much, from which account."""
        if credit in self.corrected:
            return "not_correctable"
        if any(self.free_at(grant, at) < amount for grant, amount, _source in grants):
            return "money_not_there"
        self.expire(at)
        self.corrected.add(credit)
        for lot in unique([grant.lot for grant, _amount, _source in grants]):
            with self.changing(lot, A.BREAKAGE_REVENUE):
                lot.face -= sum(amount for _grant, amount, _source in grants)
                lot.discount -= sum(amount for grant, amount, _source in grants if grant.kind == "bonus")
        self.move(A.MEMBER_RECEIVABLE, source, self.settled[credit])
        for grant, amount, from_where in grants:
            grant.remaining -= amount
            self.move(WALLET[grant.kind], from_where, amount)
        self.transactions += 1
        return "new"


def unique(lots: list[LotModel | None]) -> list[LotModel]:
    """Each lot once, by identity: two lots may look alike."""
    return list({id(lot): lot for lot in lots if lot is not None}.values())
