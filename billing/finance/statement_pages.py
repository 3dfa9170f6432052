"""Statements of a member's wallet: finance's page and the member's own, with exports."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask import Response, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from billing.finance import exports, statements
from billing.finance.finance_blueprint import finance
from billing.finance.finance_pages import read_query
from billing.finance.finance_schemas import StatementQuery
from billing.ledger import ledger_queries
from billing.ledger.ledger_queries import Entity
from billing.wallet.wallet_pages import wallet
from core import formats
from core.access import MEMBERS, requires
from core.actor import actor
from core.clock import now
from core.db import db, transaction
from core.errors import AppError, Invalid, NotFound
from membership.models import Member

MONTHS = 12  # offered to choose from
ALL = 1_000_000


@dataclass(frozen=True, slots=True)
class Period:
    """[since, until) and how it is written: first and last day."""

    since: datetime
    until: datetime
    first_day: str
    last_day: str


def month(entity: Entity, instant: datetime, back: int = 0) -> Period:
    """The month of the entity's calendar that an instant falls in, or an earlier one."""
    return _period(entity, *entity.month_of(instant, back))


def _period(entity: Entity, since: datetime, until: datetime) -> Period:
    return Period(since, until, entity.local(since).strftime("%Y-%m-%d"), entity.local(until - timedelta(microseconds=1)).strftime("%Y-%m-%d"))


def asked_period(query: Mapping[str, Any], entity: Entity, present: datetime) -> Period:
    """The period of the query, or the present month. Raises Invalid."""
    since, until = entity.month_of(present)
    if query["until"].strip():
        until = ledger_queries.parse_instant(query["until"], entity, end=True, field="until") + ledger_queries.TICK
        since = entity.month_of(until - ledger_queries.TICK)[0]
    if query["since"].strip():
        since = ledger_queries.parse_instant(query["since"], entity, end=False, field="from")
    if since >= until:
        raise Invalid(_("The period must begin before its end."), field="from")
    return _period(entity, since, until)


@finance.get("/statements")
@requires("finance")
def statement_index() -> ResponseReturnValue:
    """Choose a member and a period."""
    present, (query, errors) = now(), read_query(StatementQuery)
    with transaction(actor()) as session:
        words = query["member"].strip()
        like = f"%{words}%"
        wanted = session.query(Member).filter(Member.number.ilike(like) | Member.name.ilike(like) | Member.name_en.ilike(like)) if words else None
        found = wanted.order_by(Member.number).limit(21).all() if wanted is not None else []
        entity = ledger_queries.entity_for(found[0].currency if found else None)
        period = month(entity, present)
        try:
            period = asked_period(query, entity, present)
        except AppError as error:
            errors |= error.fields
    return render_template(
        "finance/statement_index.html", query=query, errors=errors or None, found=found[:20], has_more=len(found) > 20, period=period, entity=entity,
        months=[month(entity, present, back) for back in range(MONTHS)],
    ), 422 if errors else 200  # fmt: skip


@finance.get("/members/<uuid:member_id>/statement")
@requires("finance")
def show_statement(member_id: uuid.UUID) -> ResponseReturnValue:
    """A member's statement for finance."""
    return _show(member_id, "finance/statement.html", "finance.show_statement", {"member_id": member_id})


@finance.get("/members/<uuid:member_id>/statement.<any(csv, xlsx):form>")
@requires("finance")
def export_statement(member_id: uuid.UUID, form: str) -> Response:
    """A member's statement as a file, all movements."""
    return _export(member_id, form)


@wallet.get("/wallet/statement", endpoint="show_statement")
@requires(*MEMBERS)
def show_own_statement() -> ResponseReturnValue:
    """The member's own statement."""
    return _show(actor().member, "account/statement.html", "wallet.show_statement", {})


@wallet.get("/wallet/statement.<any(csv, xlsx):form>")
@requires(*MEMBERS)
def export_own_statement(form: str) -> Response:
    """The member's own statement as a file."""
    return _export(actor().member, form)


def _member(member_id: uuid.UUID) -> Member:
    member = db.session.get(Member, member_id)
    if member is None:
        raise NotFound(_("There is no such member."))
    return member


def _show(member_id: uuid.UUID, template: str, endpoint: str, values: dict[str, Any]) -> ResponseReturnValue:
    present, (query, errors) = now(), read_query(StatementQuery)
    with transaction(actor()):
        member = _member(member_id)
        entity = ledger_queries.entity_for(member.currency)
        period = month(entity, present)
        try:
            period = asked_period(query, entity, present)
        except AppError as error:
            errors |= error.fields
        found = statements.statement(member_id, member.currency, period.since, period.until, at=present, after=query["after"])

    def link(to: Period, **more: Any) -> str:
        return url_for(endpoint, **(values | {"from": to.first_day, "until": to.last_day} | more))

    def around(instant: datetime | None) -> str | None:
        return link(month(entity, instant)) if instant else None

    return render_template(
        template, query=query, errors=errors or None, member=member, entity=entity, period=period, statement=found, at=present, link=link,
        before=around(found.last_before), later=around(found.first_after), months=[month(entity, present, back) for back in range(MONTHS)],
        kinds=ledger_queries.KIND_NAMES, what=lambda movement: statements.what(movement, entity.local), endpoint=endpoint, values=values,
    ), 422 if errors else 200  # fmt: skip


def _export(member_id: uuid.UUID, form: str) -> Response:
    present, (query, _errors) = now(), read_query(StatementQuery)
    with transaction(actor()):
        member = _member(member_id)
        entity = ledger_queries.entity_for(member.currency)
        period = asked_period(query, entity, present)
        found = statements.statement(member_id, member.currency, period.since, period.until, at=present, limit=ALL)
    state = _("provisional, the period is not over") if found.is_provisional else _("final")
    sheet = exports.Sheet(
        title=_("Statement"),
        head=[
            (_("Member"), f"{member.number} {member.name}", "text"), (_("Period"), f"{period.first_day}{formats.RANGE}{period.last_day}", "text"),
            (_("State"), state, "text"), (_("As of"), entity.written(present), "text"), (_("Time zone"), entity.zone.key, "text"),
            (_("Currency"), entity.currency, "text"), (_("Opening balance"), found.opening_minor, "money"), (_("Came in"), found.came_in_minor, "money"),
            (_("Went out"), found.went_out_minor, "money"), (_("Closing balance"), found.closing_minor, "money"),
            (_("Difference"), found.difference_minor, "money"),
        ],
        columns=[
            exports.Column(_("Time")), exports.Column(_("Kind")), exports.Column(_("What for")), exports.Column(_("Document")),
            exports.Column(_("Amount"), "money"), exports.Column(_("Paid after"), "money"), exports.Column(_("Bonus after"), "money"),
            exports.Column(_("Balance after"), "money"),
        ],
        rows=[
            (entity.written(m.at), str(ledger_queries.KIND_NAMES.get(m.kind, m.kind)), statements.what(m, entity.local), str(m.id), m.amount_minor,
             m.paid_after_minor, m.bonus_after_minor, m.balance_after_minor) for m in found.movements
        ],
        total=(
            _("Total"), None, None, None, found.came_in_minor + found.went_out_minor, found.closing_paid_minor, found.closing_bonus_minor, found.closing_minor,
        ),
        currency=entity.currency,
    )  # fmt: skip
    return exports.download(sheet, form, f"statement-{member.number}-{period.first_day}-{period.last_day}")
