"""A second, deliberately simple wallet: it pays fen by fen, keeps everything in plain Python, and predicts what the real one must say."""

import hashlib
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction

from billing.ledger.accounts import Account as A
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
    held: int = 0

    @property
    def order(self) -> tuple[object, ...]:
        return (self.kind, self.priority, self.expires_at, self.granted_at, self.id)


@dataclass
class HoldModel:
    """Money reserved: by place of the grant among the wallet's grants."""

    draws: Counter[int]
    bonus_limit: int
    expires_at: datetime
    is_open: bool = True


@dataclass
class WalletModel:
    """One member's book. `first` remembers the hash and the balance of every id that was written."""

    accounts: Counter[A] = field(default_factory=Counter)
    credit_limit: int = 0
    holds: dict[uuid.UUID, HoldModel] = field(default_factory=dict)
    grants: list[GrantModel] = field(default_factory=list)
    first: dict[uuid.UUID, tuple[bytes, int]] = field(default_factory=dict)
    draws: dict[uuid.UUID, list[tuple[GrantModel | None, A, int]]] = field(default_factory=dict)  # by charge: grant or credit, what for, fen
    transactions: int = 0

    @property
    def balance(self) -> int:
        return self.accounts[A.WALLET_PAID] + self.accounts[A.WALLET_BONUS]

    @property
    def free(self) -> int:
        return sum(grant.remaining - grant.held for grant in self.grants)

    @property
    def owed(self) -> int:
        return -self.accounts[A.MEMBER_RECEIVABLE]

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
        settled = min(paid, self.owed)  # debts first: they never become a grant
        self.move(source, A.MEMBER_RECEIVABLE, settled)
        paid -= settled
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

    def charge(
        self, id: uuid.UUID, request_hash: bytes, parts: list[Part], at: datetime, order: str = "bonus_first", hold_id: uuid.UUID | None = None
    ) -> tuple[str, int]:
        """Status and what is missing; expiry that was due stays done even when the money does not suffice."""
        if status := self.known(id, request_hash):
            return status, 0
        self.expire(at)
        hold = self.holds.get(hold_id) if hold_id else None
        if hold_id and (hold is None or not hold.is_open):
            return "hold_closed", 0
        places = sorted(range(len(self.grants)), key=lambda place: self.grants[place].order)
        if hold:
            usable = {place: hold.draws[place] for place in places if hold.draws[place]}
        else:
            usable = {place: g.remaining - g.held for place in places if (g := self.grants[place]).remaining > g.held and g.expires_at > at}
        total = sum(part[1] for part in parts)
        credit = 0 if hold else max(0, self.credit_limit - self.owed)
        bonus_fen, on_credit = self.choose(usable, parts, "bonus_first" if hold else order)
        if on_credit > credit:
            return "hold_exceeded" if hold else "insufficient_funds", on_credit - credit
        due, by_bonus = [part[1] for part in parts], [part[2] for part in parts]
        drawn = Counter[tuple[int | None, int]]()  # (grant's place or none for credit, part's place): fen
        wallet = [(place, kind) for kind, fen in (("bonus", bonus_fen), ("paid", total - bonus_fen - on_credit)) for place in self.fens(usable, kind, fen)]
        for place, kind in [*wallet, *[(None, "credit")] * on_credit]:
            part = next(p for p, left in enumerate(due) if left and (kind != "bonus" or by_bonus[p]))
            due[part] -= 1
            by_bonus[part] -= kind == "bonus"
            drawn[place, part] += 1
        return self.post_charge(id, request_hash, parts, drawn, hold)

    def choose(self, usable: dict[int, int], parts: list[Part], order: str) -> tuple[int, int]:
        """How many fen bonus pays and how many nobody can: of all that is possible the first choice of that order, tried one by one."""
        bonus, paid = (sum(fen for place, fen in usable.items() if self.grants[place].kind == kind) for kind in ("bonus", "paid"))
        total, capable = sum(part[1] for part in parts), sum(min(part[1], part[2]) for part in parts)
        share = Fraction(total * bonus, bonus + paid) if bonus else Fraction(0)
        wish: dict[str, Callable[[int], object]] = {
            "bonus_first": lambda fen: -fen, "paid_first": lambda fen: fen, "proportional": lambda fen: (abs(fen - share), -fen),
        }  # fmt: skip
        best = min(range(min(bonus, capable) + 1), key=lambda fen: (max(0, total - fen - paid), wish[order](fen)))
        return best, max(0, total - best - paid)

    def fens(self, usable: dict[int, int], kind: str, count: int) -> list[int]:
        """The grant of each fen, in the order of consumption."""
        return [place for place, fen in usable.items() if self.grants[place].kind == kind for _fen in range(fen)][:count]

    def post_charge(
        self, id: uuid.UUID, request_hash: bytes, parts: list[Part], drawn: Counter[tuple[int | None, int]], hold: HoldModel | None
    ) -> tuple[str, int]:
        touched: list[LotModel] = []
        for (place, part), amount in drawn.items():
            if place is None:
                self.move(A.MEMBER_RECEIVABLE, parts[part][0], amount)
                continue
            grant = self.grants[place]
            grant.remaining -= amount
            if hold:
                hold.draws[place] -= amount
                grant.held -= amount
                hold.is_open = any(hold.draws.values())
            self.move(WALLET[grant.kind], parts[part][0], amount)
            if grant.lot:
                grant.lot.spent += amount
                if all(grant.lot is not lot for lot in touched):
                    touched.append(grant.lot)
        in_order = sorted(drawn.items(), key=lambda one: one[0][1])  # part by part, as the charge names them: what is given back takes their order
        self.draws[id] = [(None if place is None else self.grants[place], parts[part][0], amount) for (place, part), amount in in_order]
        own = next((part[0] for part in parts if part[0] in OWN_PARTS), None)
        for lot in touched:
            self.earn_back(lot, own)
        self.write(id, request_hash)
        return "new", 0

    def hold(self, id: uuid.UUID, amount: int, bonus_limit: int, expires_at: datetime, at: datetime, order: str) -> int:
        """What is missing to reserve this much; 0: it is reserved."""
        self.expire(at)
        places = sorted(range(len(self.grants)), key=lambda place: self.grants[place].order)
        usable = {place: g.remaining - g.held for place in places if (g := self.grants[place]).remaining > g.held and g.expires_at > at}
        bonus_fen, missing = self.choose(usable, [(A.SERVICE_REVENUE, amount, bonus_limit)], order)
        if not missing:
            draws = Counter(self.fens(usable, "bonus", bonus_fen) + self.fens(usable, "paid", amount - bonus_fen))
            self.holds[id] = HoldModel(draws, bonus_limit, expires_at)
            for place, fen in draws.items():
                self.grants[place].held += fen
        return missing

    def release(self, hold: HoldModel) -> None:
        for place, fen in hold.draws.items():
            self.grants[place].held -= fen
        hold.draws.clear()
        hold.is_open = False

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
        """Holds that have ended give their money back first; what is still held then does not expire."""
        ended = [hold for hold in self.holds.values() if hold.is_open and hold.expires_at <= at]
        for hold in ended:
            self.release(hold)
        due = [grant for grant in self.grants if grant.remaining > grant.held and grant.expires_at <= at]
        for grant in due:
            amount = grant.remaining - grant.held
            self.move(A.WALLET_BONUS, A.BONUS_DISCOUNT if grant.lot else A.GOODWILL, amount)
            if grant.lot:
                grant.lot.expired += amount
                self.settle(grant.lot)
            grant.remaining = grant.held
            self.transactions += 1
        return len(due) + len(ended)

    def post(self, id: uuid.UUID, request_hash: bytes, moves: list[tuple[A, A, int]]) -> bool:
        if id in self.first:
            return False
        for move in moves:
            self.move(*move)
        self.write(id, request_hash)
        return True
