"""The finance console: prepaid balances as of any instant, the journal, and the balance of every account."""

from datetime import datetime
from typing import Any

from flask import Response, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from marshmallow import ValidationError

from billing.finance import exports, prepaid
from billing.finance.finance_blueprint import finance
from billing.finance.finance_schemas import LedgerQuery, PrepaidQuery
from billing.ledger import ledger_queries
from billing.ledger.ledger_queries import CATEGORY_NAMES, Entity
from billing.wallet.wallet_schemas import errors_of
from core import formats
from core.access import requires
from core.actor import actor
from core.charts import Waterfall, waterfall
from core.clock import now
from core.db import transaction
from core.errors import AppError, Invalid
from core.ids import new_id

SHORTCUTS = 3  # month ends offered beside “now”


def read_query(schema: type[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The query's arguments and what is wrong with them; wrong ones fall back to their defaults."""
    given = request.args.to_dict()
    try:
        return schema().load(given), {}
    except ValidationError as error:
        wrong = dict(errors_of(error))
        return schema().load({name: value for name, value in given.items() if name not in wrong}), wrong


def as_of(written: str, entity: Entity, present: datetime) -> datetime:
    """The last instant of what is written, or now. Raises Invalid for the future."""
    if not written.strip():
        return present
    at = ledger_queries.parse_instant(written, entity, end=True, field="at")
    if ledger_queries.parse_instant(written, entity, end=False, field="at") > present:
        raise Invalid(_("This time has not come yet."), field="at")
    return min(at, present)


def month_ends(entity: Entity, present: datetime) -> list[tuple[str, str]]:
    """The last months' ends as (month, text of the `at` field): the last minute, which means its last instant."""
    ends = [entity.month_of(present, back)[1] - ledger_queries.TICK for back in range(1, SHORTCUTS + 1)]
    return [(entity.local(end).strftime("%Y-%m"), entity.written(end, seconds=False)) for end in ends]


def instants(query: dict[str, Any], entity: Entity, present: datetime, errors: dict[str, Any]) -> tuple[datetime, datetime]:
    """As of when, and since when the roll-forward runs (the month's start by default); errors are kept, defaults taken."""
    at = present
    try:
        at = as_of(query["at"], entity, present)
    except AppError as error:
        errors |= error.fields
    since = entity.month_of(at)[0]
    if query["since"].strip():
        try:
            given = ledger_queries.parse_instant(query["since"], entity, end=False, field="since")
            if given > at:
                raise Invalid(_("The period must begin before its end."), field="since")
            since = given
        except AppError as error:
            errors |= error.fields
    return at, since


@finance.get("/prepaid-balances")
@requires("finance")
def prepaid_balances() -> ResponseReturnValue:
    """What members have paid in advance, as of an instant: figures, proof, how it came to be so, and by member."""
    present, (query, errors) = now(), read_query(PrepaidQuery)
    with transaction(actor()):
        entities = ledger_queries.entities()
        entity = next((one for one in entities if one.currency == query["currency"]), None) or ledger_queries.entity_for(None)
        at, since = instants(query, entity, present, errors)
        figures = prepaid.summary(entity.currency, at, since)
        page = prepaid.members(entity.currency, at, search=query["q"], sort=query["sort"], show=query["show"], after=query["after"])
        first = None if figures.total_minor else prepaid.first_movement(entity.currency)
    kept = {name: query[name] for name in ("at", "since", "currency", "q", "sort", "show")}
    frozen = ledger_queries.words(kept | {"at": entity.written(at)})  # later pages and exports speak of the same instant
    return render_template(
        "finance/prepaid.html", query=query, kept=ledger_queries.words(kept), frozen=frozen, errors=errors or None,
        entity=entity, entities=entities, at=at, since=since, is_now=not query["at"].strip(), sums=figures, page=page, first=first,
        shortcuts=month_ends(entity, present), chart=_roll_forward(figures, entity, since, at), line_names=_line_names(),
    ), 422 if errors else 200  # fmt: skip


def _line_names() -> dict[str, str]:
    return {
        "topped_up": _("Topped up"), "bonus_granted": _("Bonus granted"), "used": _("Used"), "refunded": _("Refunded"),
        "expired": _("Lapsed"), "other": _("Other changes"),
    }  # fmt: skip


def _roll_forward(figures: prepaid.Summary, entity: Entity, since: datetime, at: datetime) -> Waterfall:
    names, currency = _line_names(), entity.currency
    steps = [(_("Opening"), figures.opening_minor)] + [
        (names[line], figures.changes[line]) for line in prepaid.LINES if figures.changes[line] or line != "other"
    ]
    return waterfall(
        [(name, float(amount)) for name, amount in steps],
        label=_(
            "Prepaid money went from %(opening)s to %(closing)s between %(since)s and %(at)s",
            opening=formats.money(figures.opening_minor, currency), closing=formats.money(sum(amount for _name, amount in steps), currency),
            since=entity.written(since), at=entity.written(at),
        ),
        fmt=formats.money_of(currency), signed_fmt=lambda value: formats.signed_money(round(value), currency),
        first_column=_("Line"), value_column=_("Amount (%(currency)s)", currency=currency),
    )  # fmt: skip


@finance.get("/prepaid-balances.<any(csv, xlsx):form>")
@requires("finance")
def export_prepaid_balances(form: str) -> Response:
    """All rows that the filter lets through, with as-of instant, time zone, currency and proof in the head."""
    present, (query, _errors) = now(), read_query(PrepaidQuery)
    with transaction(actor()):
        entity = ledger_queries.entity_for(query["currency"] or None)
        at = as_of(query["at"], entity, present)
        figures = prepaid.summary(entity.currency, at, at)
        page = prepaid.every_member(entity.currency, at, search=query["q"], sort=query["sort"], show=query["show"])
    tie = _("ties to the ledger") if figures.ties else _("does NOT tie to the ledger: %(members)s", members=", ".join(figures.at_fault))
    sheet = exports.Sheet(
        title=_("Prepaid balances"),
        head=[
            (_("As of"), entity.written(at), "text"), (_("Time zone"), entity.zone.key, "text"), (_("Currency"), entity.currency, "text"),
            (_("Legal entity"), entity.name, "text"), (_("Total of all members"), figures.total_minor, "money"),
            (_("Difference to the ledger"), figures.difference_minor, "money"), (_("Proof"), tie, "text"), (_("Search"), query["q"] or None, "text"),
            (_("Rows"), page.count, "count"),
        ],
        columns=[
            exports.Column(_("Number")), exports.Column(_("Member")), exports.Column(_("Member (English)")), exports.Column(_("Paid"), "money"),
            exports.Column(_("Bonus"), "money"), exports.Column(_("Total"), "money"), exports.Column(_("Last entry")), exports.Column(_("Member id")),
        ],
        rows=[(m.number, m.name, m.name_en, m.paid_minor, m.bonus_minor, m.total_minor, entity.written(m.last_at), str(m.id)) for m in page.items],
        total=(_("Total"), None, None, page.paid_minor, page.bonus_minor, page.paid_minor + page.bonus_minor, None, None),
        currency=entity.currency,
    )  # fmt: skip
    return exports.download(sheet, form, f"prepaid-balances-{entity.currency}-{entity.local(at):%Y%m%d-%H%M}")


@finance.get("/ledger")
@requires("finance")
def ledger() -> ResponseReturnValue:
    """The journal: transactions of a period, the latest first, each with its moves."""
    present, (query, errors) = now(), read_query(LedgerQuery)
    with transaction(actor()):
        entity = ledger_queries.entity_for(query["currency"] or None)
        since, until = _period(query, entity, present, errors)
        member = ledger_queries.find_member(query["member"]) if query["member"].strip() else None
        if query["member"].strip() and member is None:
            errors["member"] = _("There is no such member. Write its number, or a part of its name that fits one member only.")
        page = ledger_queries.journal(
            entity.currency, since, until, member_id=member.id if member else new_id() if "member" in errors else None, kind=query["kind"], after=query["after"]
        )
    kept = ledger_queries.words(
        {"member": query["member"], "kind": query["kind"], "from": query["since"], "until": query["until"], "currency": query["currency"]}
    )
    return render_template(
        "finance/ledger.html", query=query, kept=kept, errors=errors or None, entity=entity, since=since, until=until, member=member, page=page,
        account_names=ledger_queries.ACCOUNT_NAMES, kinds=ledger_queries.KIND_NAMES,
    ), 422 if errors else 200  # fmt: skip


def _period(query: dict[str, Any], entity: Entity, present: datetime, errors: dict[str, Any]) -> tuple[datetime, datetime]:
    """The journal's period: this month until now, where nothing is asked for."""
    since, until = entity.month_of(present)[0], present
    try:
        if query["until"].strip():
            until = ledger_queries.parse_instant(query["until"], entity, end=True, field="until")
            since = entity.month_of(until)[0]
        if query["since"].strip():
            since = ledger_queries.parse_instant(query["since"], entity, end=False, field="from")
        if since > until:
            raise Invalid(_("The period must begin before its end."), field="from")
    except AppError as error:
        errors |= error.fields
    return since, until


@finance.get("/ledger/accounts")
@requires("finance")
def ledger_accounts() -> ResponseReturnValue:
    """Balance of every account as of an instant; debits equal credits."""
    present, (query, errors) = now(), read_query(LedgerQuery)
    with transaction(actor()):
        entity, at = ledger_queries.entity_for(query["currency"] or None), present
        try:
            at = as_of(query["at"], entity, present)
        except AppError as error:
            errors |= error.fields
        member = ledger_queries.find_member(query["member"]) if query["member"].strip() else None
        if query["member"].strip() and member is None:
            errors["member"] = _("There is no such member. Write its number, or a part of its name that fits one member only.")
        balances = [] if "member" in errors else ledger_queries.trial_balance(entity.currency, at, member_id=member.id if member else None)
    return render_template(
        "finance/ledger_accounts.html", query=query, errors=errors or None, entity=entity, at=at, member=member, balances=balances, categories=CATEGORY_NAMES,
        account_names=ledger_queries.ACCOUNT_NAMES, shortcuts=month_ends(entity, present), reset=url_for("finance.ledger_accounts"),
    ), 422 if errors else 200  # fmt: skip
