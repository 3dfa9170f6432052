"""What stands on a document, as one snapshot: pure functions from ledger entries to content. Nothing here is looked up later."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from billing.document.document_sources import Entry, Original
from core.ids import derived
from core.money import split, tax_included
from membership import taxes

Content = dict[str, Any]
MOTIONS = {
    "new": ("新订阅", "New subscription"), "renewal": ("续订", "Renewal"), "seats": ("增加席位", "More seats"), "upgrade": ("升级", "Upgrade"),
    "period": ("变更周期", "Change of period"), "maintenance": ("年度维护", "Yearly maintenance"),
}  # fmt: skip
KINDS = {"purchase": ("商店购买", "Store purchase"), "subscription": ("订阅费", "Subscription"), "correction": ("更正", "Correction")}
METHODS = {"card": ("银行卡", "Card"), "bank_transfer": ("银行转账", "Bank transfer")}
NAMELESS = ("服务费", "Service")


@dataclass(frozen=True, slots=True)
class Seller:
    """The legal entity as its documents name it, its rates, and where what is owed is paid to."""

    party: Content
    timezone: str
    rates: taxes.Schedule
    bank: Content | None


@dataclass(frozen=True, slots=True)
class Buyer:
    """Whom the documents of a member are made out to, in which language, and how its charges are gathered."""

    party: Content
    language: str
    grouping: str  # charge | month


def receipt(entry: Entry, seller: Seller, buyer: Buyer) -> Content:
    """A top-up's receipt: money received in advance. No tax: consumption gives the tax invoice (books)."""
    names = [f"会员储值 · {METHODS.get(entry.method or '', ('充值', ''))[0]}", f"Prepayment · {METHODS.get(entry.method or '', ('', 'top-up'))[1]}"]
    if entry.last4:
        brand = (entry.brand or "").upper()
        names = [f"{names[0]} {brand} 尾号 {entry.last4}", f"{names[1]} {brand} ending in {entry.last4}"]
    amount = entry.received_minor
    line = _line(1, entry, 1, (names[0], names[1]), amount, 0, None, (1, amount))
    payment = {"received_minor": amount, "granted_minor": entry.granted_minor or 0, "method": entry.method, "reference": entry.bank_reference}
    return _document("receipt", [entry], [line], seller, buyer) | {"payment": payment}


def invoice(entries: Sequence[Entry], seller: Seller, buyer: Buyer) -> Content:
    """A tax invoice over one charge or several of one member and currency; its tax is the tax that was posted, line by line."""
    lines = [line for entry in entries for line in _charge_lines(entry, seller)]
    for n, line in enumerate(lines, 1):
        line["n"] = n
    owed = sum(entry.owed_minor for entry in entries)
    payment = {
        "paid_minor": sum(entry.from_paid_minor for entry in entries), "bonus_minor": sum(entry.from_bonus_minor for entry in entries), "owed_minor": owed,
        "bank": seller.bank if owed else None,
    }  # fmt: skip
    return _document("invoice", entries, lines, seller, buyer) | {"payment": payment}


def credit_note(entry: Entry, original: Original, seller: Seller, buyer: Buyer) -> Content:
    """A credit note over one refund, naming the invoice it takes back in part or whole."""
    charged = [line for line in original.lines or () if line["transaction_id"] == str(entry.reverses_id)]
    gross, tax = entry.returned_minor, entry.returned_tax_minor
    names = [(str(line["name_zh"]), str(line["name_en"])) for line in charged] or [NAMELESS]
    weights = [_whole(line["gross_minor"]) for line in charged] or [1]
    shares, rates = split(gross, weights), [line["rate_bp"] for line in charged] or [None]
    shared_tax = split(tax, shares)
    lines = [
        _line(part, entry, part, name, share, part_tax, _optional(rate), (1, share))
        for part, (name, share, part_tax, rate) in enumerate(zip(names, shares, shared_tax, rates, strict=True), 1) if share or part == 1
    ]  # fmt: skip
    corrects = {"id": str(original.document_id), "number": original.number, "issued_at": _instant(original.issued_at), "gross_minor": original.gross_minor}
    payment = {"paid_minor": entry.back_paid_minor, "bonus_minor": entry.back_bonus_minor}
    return _document("credit_note", [entry], lines, seller, buyer) | {
        "payment": payment, "corrects": corrects, "corrects_id": str(original.document_id), "reason": entry.memo,
    }  # fmt: skip


def _charge_lines(entry: Entry, seller: Seller) -> list[Content]:
    """One line a charge; base and seats of a full term apart. The tax of a charge goes to its lines by largest remainder, so lines sum to what was posted.

    A price that was stated without tax is written so: unit and net add up to what was stated, and the tax comes on top.
    """
    tax, is_net = entry.consumed_tax_minor, bool(entry.excludes_tax)
    stated = entry.consumed_minor - tax if is_net else entry.consumed_minor
    name = _name(entry)
    parts = [(name, (entry.quantity, stated // entry.quantity if stated % entry.quantity == 0 else None), stated)]
    if entry.base_minor is not None and entry.seat_minor is not None and entry.seats and entry.base_minor + entry.seats * entry.seat_minor == stated:
        seats = ((f"{name[0]} · 席位", f"{name[1]} · seats"), (entry.seats, entry.seat_minor), entry.seats * entry.seat_minor)
        parts = [part for part in (((name), (1, entry.base_minor), entry.base_minor), seats) if part[2]]
    rate = _rate(entry, seller)
    taxed = split(tax, [part_stated for _name, _count, part_stated in parts])
    lines = [
        _line(0, entry, part, words, amount + (part_tax if is_net else 0), part_tax, rate, count)
        for part, ((words, count, amount), part_tax) in enumerate(zip(parts, taxed, strict=True), 1)
    ]
    return [line | {"unit_excludes_tax": True} for line in lines] if is_net else lines


def _name(entry: Entry) -> tuple[str, str]:
    if entry.name_zh or entry.name_en:
        return entry.name_zh or entry.name_en or "", entry.name_en or entry.name_zh or ""
    if entry.line_zh and entry.line_en:
        motion = MOTIONS.get(entry.motion or "", ("订阅", "Subscription"))
        edition = entry.edition_zh or "", entry.edition_en or ""
        return f"{entry.line_zh} · {edition[0]} · {motion[0]}", f"{entry.line_en} · {edition[1]} · {motion[1].lower()}"
    words = KINDS.get(entry.kind, NAMELESS)
    return (f"{words[0]} · {entry.memo}", f"{words[1]} · {entry.memo}") if entry.memo else words


def _rate(entry: Entry, seller: Seller) -> int | None:
    """The rate that gives the posted tax: the one in force at the supply, else another of the seller's; None when the tax follows from none."""
    in_force = taxes.in_force(seller.rates, entry.service_from or entry.at).rate_bp
    known = [entry.own_rate_bp, in_force, *(rate.rate_bp for rate in seller.rates), 0]
    return next((rate for rate in known if rate is not None and tax_included(entry.consumed_minor, rate) == entry.consumed_tax_minor), None)


def _line(
    n: int, entry: Entry, part: int, name: tuple[str, str], gross: int, tax: int, rate_bp: int | None, count: tuple[int, int | None]
) -> Content:  # fmt: skip
    return {
        "n": n, "transaction_id": str(entry.id), "part": part, "at": _instant(entry.at), "name_zh": name[0], "name_en": name[1],
        "quantity": count[0], "unit_minor": count[1], "net_minor": gross - tax, "tax_minor": tax, "gross_minor": gross, "rate_bp": rate_bp,
        "service_from": _instant(entry.service_from), "service_until": _instant(entry.service_until),
    }  # fmt: skip


def _document(kind: str, entries: Sequence[Entry], lines: list[Content], seller: Seller, buyer: Buyer) -> Content:
    first = entries[0]
    gross, tax = sum(line["gross_minor"] for line in lines), sum(line["tax_minor"] for line in lines)
    return {
        "id": str(document_id(kind, first.member_id, first.id)), "member_id": str(first.member_id), "kind": kind, "currency": first.currency,
        "language": buyer.language, "timezone": seller.timezone, "seller": seller.party, "buyer": buyer.party, "lines": lines,
        "taxes": [] if kind == "receipt" else tax_lines(lines, seller.rates), "net_minor": gross - tax, "tax_minor": tax, "gross_minor": gross,
        "supplied_from": _instant(min(entry.service_from or entry.at for entry in entries)),
        "supplied_until": _instant(max(entry.service_until or entry.at for entry in entries)), "corrects": None, "corrects_id": None,
    }  # fmt: skip


def tax_lines(lines: Sequence[Content], rates: taxes.Schedule) -> list[Content]:
    """Net, tax and gross of each rate, the highest first."""
    found: dict[int | None, Content] = {}
    for line in sorted(lines, key=lambda line: -1 if line["rate_bp"] is None else line["rate_bp"], reverse=True):
        rate = line["rate_bp"]
        named = next((one for one in rates if one.rate_bp == rate), rates[-1])
        summed = found.setdefault(rate, {"rate_bp": rate, "name_zh": named.name_zh, "name_en": named.name_en, "net_minor": 0, "tax_minor": 0, "gross_minor": 0})
        for amount in ("net_minor", "tax_minor", "gross_minor"):
            summed[amount] += line[amount]
    return list(found.values())


def document_id(kind: str, member_id: uuid.UUID, transaction_id: uuid.UUID) -> uuid.UUID:
    """A document's id follows from the first entry on it."""
    return derived("document", kind, member_id, transaction_id)


def _instant(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _whole(value: object) -> int:
    assert isinstance(value, int)
    return value


def _optional(value: object) -> int | None:
    assert value is None or isinstance(value, int)
    return value
