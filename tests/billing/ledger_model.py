"""A second, deliberately simple wallet: it pays fen by fen, keeps everything in plain Python, and predicts what the real one must say."""

import hashlib
import uuid
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction

from billing.accounts import Account as A
from core.money import round_half_up

OWN_PARTS = {A.DEFERRED_REVENUE, A.SUBSCRIPTION_REVENUE, A.STORE_REVENUE, A.SERVICE_REVENUE, A.COMMISSION_REVENUE}
NEVER = datetime.max.replace(tzinfo=UTC)
WALLET = {"paid": A.WALLET_PAID, "bonus": A.WALLET_BONUS}
Part = tuple[A, int, int]  # target, amount, how much of it bonus may pay


@dataclass
class LotModel:
    """What was paid for and what was given away with it."""

    face: int
    discount: int
    spent: int = 0
    expired: int = 0
    earned: int = 0


@dataclass
class GrantModel:
    id: uuid.UUID
    kind: str
    remaining: int
    priority: int
    granted_at: datetime
    expires_at: datetime
    lot: LotModel | None

    @property
    def order(self) -> tuple[object, ...]:
        return (self.kind, self.priority, self.expires_at, self.granted_at, self.id)


@dataclass
class WalletModel:
    """One member's book. `first` remembers the hash and the balance of every id that was written."""

    accounts: Counter[A] = field(default_factory=Counter)
    grants: list[GrantModel] = field(default_factory=list)
    first: dict[uuid.UUID, tuple[bytes, int]] = field(default_factory=dict)
    transactions: int = 0

    @property
    def balance(self) -> int:
        return self.accounts[A.WALLET_PAID] + self.accounts[A.WALLET_BONUS]

    def move(self, source: A, target: A, amount: int) -> None:
        self.accounts[source] -= amount
        self.accounts[target] += amount

    def write(self, id: uuid.UUID, request_hash: bytes) -> None:
        self.transactions += 1
        self.first[id] = (request_hash, self.balance)

    def known(self, id: uuid.UUID, request_hash: bytes) -> str | None:
        if id not in self.first:
            return None
        return "replayed" if self.first[id][0] == request_hash else "id_reused"

    def credit(
        self, id: uuid.UUID, request_hash: bytes, paid: int, bonus: int, source: A, bonus_source: A, expires_at: datetime | None, priority: int, at: datetime
    ) -> str:
        if status := self.known(id, request_hash):
            return status
        self.expire(at)
        lot = LotModel(paid + bonus, bonus) if bonus and bonus_source is A.BONUS_DISCOUNT else None
        if paid:
            self.grants.append(GrantModel(id, "paid", paid, priority, at, NEVER, lot))
            self.move(source, A.WALLET_PAID, paid)
        if bonus:
            bonus_id = uuid.UUID(hashlib.md5(f"bonus:{id}".encode()).hexdigest())
            self.grants.append(GrantModel(bonus_id, "bonus", bonus, priority, at, expires_at or NEVER, lot))
            self.move(bonus_source, A.WALLET_BONUS, bonus)
        self.write(id, request_hash)
        return "new"

    def charge(self, id: uuid.UUID, request_hash: bytes, parts: list[Part], at: datetime) -> tuple[str, int]:
        """Status and what is missing; expiry that was due stays done even when the money does not suffice."""
        if status := self.known(id, request_hash):
            return status, 0
        self.expire(at)
        drawn = Counter[tuple[int, int]]()  # (grant's place, part's place): fen
        due, by_bonus = [part[1] for part in parts], [part[2] for part in parts]
        usable = [grant for grant in sorted(self.grants, key=lambda g: g.order) if grant.remaining and grant.expires_at > at]
        for g, grant in enumerate(usable):
            for _fen in range(grant.remaining):
                part = next((p for p, left in enumerate(due) if left and (grant.kind == "paid" or by_bonus[p])), None)
                if part is None:
                    break
                due[part] -= 1
                by_bonus[part] -= grant.kind == "bonus"
                drawn[g, part] += 1
        if sum(due):
            return "insufficient_funds", sum(due)
        touched: list[LotModel] = []
        for (g, part), amount in drawn.items():
            grant = usable[g]
            grant.remaining -= amount
            self.move(WALLET[grant.kind], parts[part][0], amount)
            if grant.lot:
                grant.lot.spent += amount
                if all(grant.lot is not lot for lot in touched):
                    touched.append(grant.lot)
        own = next((part[0] for part in parts if part[0] in OWN_PARTS), None)
        for lot in touched:
            self.earn_back(lot, own)
        self.write(id, request_hash)
        return "new", 0

    def earn_back(self, lot: LotModel, own: A | None) -> None:
        """Revenue of a lot is what was paid for it: its discount comes back in proportion to what is spent of its face."""
        if own is not None:
            earned = round_half_up(Fraction(lot.discount * lot.spent, lot.face)) - lot.earned
            lot.earned += earned
            self.move(own, A.BONUS_DISCOUNT, earned)
        self.settle(lot)

    def settle(self, lot: LotModel) -> None:
        if lot.spent + lot.expired == lot.face:
            self.move(A.BONUS_DISCOUNT, A.BREAKAGE_REVENUE, lot.earned + lot.expired - lot.discount)

    def expire(self, at: datetime) -> int:
        due = [grant for grant in self.grants if grant.remaining and grant.expires_at <= at]
        for grant in due:
            self.move(A.WALLET_BONUS, A.BONUS_DISCOUNT if grant.lot else A.GOODWILL, grant.remaining)
            if grant.lot:
                grant.lot.expired += grant.remaining
                self.settle(grant.lot)
            grant.remaining = 0
            self.transactions += 1
        return len(due)

    def post(self, id: uuid.UUID, request_hash: bytes, moves: list[tuple[A, A, int]]) -> bool:
        if id in self.first:
            return False
        for move in moves:
            self.move(*move)
        self.write(id, request_hash)
        return True
