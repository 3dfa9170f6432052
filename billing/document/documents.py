"""Making documents of what the ledger says, after the commit: a receipt for each top-up, tax invoices for what was consumed, a credit note for each refund.

Nothing is done on the hot path and nothing can be lost: a wallet's entries are numbered without gaps in the order of their commits, and
`document_position` says up to which number they have been looked at. Positions, waiting entries, documents and their numbers change in one transaction.
"""

import json
import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from flask import current_app
from sqlalchemy import select, text

from billing.document import document_contents as contents
from billing.document import document_sources as sources
from billing.document.document_contents import Buyer, Content, Seller
from billing.document.document_sources import Entry
from billing.top_up.top_up_models import BankAccount
from core.db import db
from core.settings import Settings
from membership import taxes
from membership.entity_models import LegalEntity

WALLETS = 500  # looked at in one transaction
ENTRIES = 5_000
KINDS = ("receipt", "invoice", "credit_note")

_ONE_AT_A_TIME = text("select pg_advisory_xact_lock(hashtextextended('documents:' || :entity, 0))")
_ISSUE = text("select issue_documents(:entity, :at, cast(:formats as jsonb), :digits, cast(:documents as jsonb))")
_ADVANCE = text(
    "insert into document_position (member_id, currency, last_seq)"
    " select * from unnest(cast(:members as uuid[]), cast(:currencies as text[]), cast(:seqs as bigint[]))"
    " on conflict (member_id, currency) do update set last_seq = excluded.last_seq"
)
_WAIT = text(
    "insert into document_waiting (member_id, transaction_id, entity_id, due_at) select m, i, :entity, d"
    " from unnest(cast(:members as uuid[]), cast(:ids as uuid[]), cast(:dues as timestamptz[])) x(m, i, d)"
)
_DONE = text(
    "delete from document_waiting q using unnest(cast(:members as uuid[]), cast(:ids as uuid[])) x(m, i) where q.member_id = x.m and q.transaction_id = x.i"
)
_BUYERS = text("""
select m.id, coalesce(d.title, m.name) as title, d.tax_number, coalesce(d.country, 'CN') as country, d.address, d.phone, d.email,
  coalesce(d.language, 'zh') as language, coalesce(d.invoice_grouping, e.invoice_grouping) as grouping, d.order_number, d.cost_centre, m.number
from member m join legal_entity e on e.id = m.entity_id
left join lateral (select * from billing_details b where b.member_id = m.id order by b.version desc limit 1) d on true
where m.id = any(cast(:members as uuid[]))
""")


@dataclass(frozen=True, slots=True)
class Step:
    """What one transaction did: how many documents it wrote, the member it came to, and whether there is more after that one."""

    written: int = 0
    reached: uuid.UUID | None = None
    has_more: bool = False


def issue_new(entity_id: uuid.UUID, after: uuid.UUID | None, *, at: datetime) -> Step:
    """Look at entries that nobody has looked at, of some wallets after a member. While it `has_more`, call it with what it `reached`."""
    _lock(entity_id)
    wallets = sources.moved_wallets(entity_id, after, WALLETS)
    if not wallets:
        return Step()
    read = sources.new_entries(wallets, ENTRIES)
    entries, positions = _past(read, at)
    written = _settle(entity_id, entries, at, is_waiting=False)
    if positions:
        members, currencies, seqs = zip(*((member, currency, seq) for (member, currency), seq in positions.items()), strict=True)
        db.session.execute(_ADVANCE, {"members": list(members), "currencies": list(currencies), "seqs": list(seqs)})
    if len(read) == ENTRIES and read[-1] in entries[-1:]:  # the last wallet may have more: come back to it
        before = [w.member_id for w in wallets if w.member_id < read[-1].member_id]
        return Step(written, before[-1] if before else after, True)
    return Step(written, wallets[-1].member_id, len(wallets) == WALLETS)


def issue_due(entity_id: uuid.UUID, after: uuid.UUID | None, *, at: datetime) -> Step:
    """The same with entries that waited: monthly invoices whose month is over, then the refunds of what stands on them."""
    _lock(entity_id)
    members = sources.due_members(entity_id, at, after, WALLETS)
    if not members:
        return Step()
    entries = sources.due_entries(entity_id, members, at)
    return Step(_settle(entity_id, entries, at, is_waiting=True), members[-1], len(members) == WALLETS)


def _lock(entity_id: uuid.UUID) -> None:
    """One transaction of an entity writes documents at a time; the next sees what it has done."""
    db.session.execute(_ONE_AT_A_TIME, {"entity": str(entity_id)})


def _past(read: Sequence[Entry], at: datetime) -> tuple[list[Entry], dict[tuple[uuid.UUID, str], int]]:
    """Entries up to the first of each wallet that lies after `at`, and how far each wallet is looked at with them."""
    past, positions, stopped = [], {}, set()
    for entry in read:
        key = entry.member_id, entry.currency
        if entry.at > at:
            stopped.add(key)
        if key not in stopped:
            past.append(entry)
            positions[key] = entry.seq
    return past, positions


def _settle(entity_id: uuid.UUID, entries: Sequence[Entry], at: datetime, *, is_waiting: bool) -> int:
    """Write documents of entries, and let those wait whose time has not come; returns how many documents."""
    wanted = [entry for entry in entries if entry.document_kind]
    if not wanted:
        return 0
    seller, buyers = _seller(entity_id), _buyers({entry.member_id for entry in wanted})
    made: list[Content] = []
    charges: dict[tuple[object, ...], list[Entry]] = defaultdict(list)
    wait: list[tuple[Entry, datetime]] = []
    for entry in wanted:
        buyer = buyers[entry.member_id]
        if entry.document_kind == "receipt":
            made.append(contents.receipt(entry, seller, buyer))
        elif entry.document_kind == "invoice":
            due = _month_end(entry.at, seller.timezone)
            if not is_waiting and buyer.grouping == "month" and due > at:
                wait.append((entry, due))
            else:
                group = due if is_waiting or buyer.grouping == "month" else entry.id
                charges[entry.member_id, entry.currency, group].append(entry)
    made.extend(contents.invoice(group, seller, buyers[group[0].member_id]) for group in charges.values())
    dues = {(entry.member_id, entry.id): due for entry, due in wait} | {(entry.member_id, entry.id): at for group in charges.values() for entry in group}
    refunds = [entry for entry in wanted if entry.document_kind == "credit_note"]
    known, nothing = sources.originals(refunds), []
    for entry in refunds:
        original, key = known[entry.member_id, entry.reverses_id or entry.id], (entry.member_id, entry.reverses_id or entry.id)
        if original.document_id and original.kind == "invoice":
            made.append(contents.credit_note(entry, original, seller, buyers[entry.member_id]))
        elif (key in dues or original.due_at) and not is_waiting:  # its invoice is written first
            wait.append((entry, dues.get(key) or original.due_at or at))
        elif not (key in dues or original.due_at):
            nothing.append(entry)  # it takes back what needs no invoice
    _write(entity_id, made, wait, at)
    if is_waiting:
        _take_off(made, nothing)
    return len(made)


def _write(entity_id: uuid.UUID, made: Sequence[Content], wait: Sequence[tuple[Entry, datetime]], at: datetime) -> None:
    if wait:
        parameters = {"members": [e.member_id for e, _due in wait], "ids": [e.id for e, _due in wait], "dues": [due for _e, due in wait]}
        db.session.execute(_WAIT, {**parameters, "entity": entity_id})
    if made:
        settings: Settings = current_app.extensions["settings"]
        formats = {kind: getattr(settings, f"{kind}_number_format") for kind in KINDS}
        written = db.session.scalar(
            _ISSUE,
            {"entity": entity_id, "at": at, "formats": json.dumps(formats), "digits": settings.document_number_digits, "documents": json.dumps(made)},
        )
        assert written == len(made)


def _take_off(made: Sequence[Content], nothing: Sequence[Entry]) -> None:
    """Entries that stand on a document now, or need none, wait no longer."""
    done = [(content["member_id"], line["transaction_id"]) for content in made for line in content["lines"]] + [(e.member_id, e.id) for e in nothing]
    if done:
        db.session.execute(_DONE, {"members": [member for member, _id in done], "ids": [entry for _member, entry in done]})


def _month_end(instant: datetime, timezone: str) -> datetime:
    """The first instant after the month of the entity's calendar that an instant falls in."""
    local = instant.astimezone(ZoneInfo(timezone))
    return datetime(local.year + local.month // 12, local.month % 12 + 1, 1, tzinfo=ZoneInfo(timezone))


def _seller(entity_id: uuid.UUID) -> Seller:
    entity = db.session.get_one(LegalEntity, entity_id)
    bank = db.session.scalar(select(BankAccount).where(BankAccount.entity_id == entity_id, BankAccount.currency == entity.currency))
    party = {name: getattr(entity, name) for name in ("name", "name_en", "tax_number", "address_zh", "address_en", "phone", "email")}
    account = {name: getattr(bank, name) for name in ("holder", "bank", "number", "code")} if bank else None
    return Seller(party, entity.timezone, taxes.schedule_of(entity_id), account)


def _buyers(members: set[uuid.UUID]) -> dict[uuid.UUID, Buyer]:
    rows = db.session.execute(_BUYERS, {"members": list(members)}).all()
    named = ("title", "tax_number", "country", "address", "phone", "email", "order_number", "cost_centre")
    return {row.id: Buyer({name: getattr(row, name) for name in named} | {"member_number": row.number}, row.language, row.grouping) for row in rows}
