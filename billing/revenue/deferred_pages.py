"""Finance: deferred revenue, what of it was recognised, and when the rest will be."""

from flask import Response, render_template
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from billing.finance import exports
from billing.finance.finance_blueprint import finance
from billing.finance.finance_pages import instants, month_ends, read_query
from billing.finance.finance_schemas import DeferredQuery
from billing.ledger import ledger_queries
from billing.ledger.ledger_queries import Entity
from billing.revenue import deferred_revenue
from billing.revenue.deferred_revenue import Summary
from core import formats
from core.access import requires
from core.actor import actor
from core.charts import Chart, bar_chart
from core.clock import now
from core.db import transaction

BACK, AHEAD = 5, 6  # months on the chart, beside the present one


@finance.get("/deferred-revenue")
@requires("finance")
def show_deferred_revenue() -> ResponseReturnValue:
    """What was charged and is not delivered yet: as of an instant, its roll-forward, its proof, and by month."""
    present, (query, errors) = now(), read_query(DeferredQuery)
    with transaction(actor()):
        entities = ledger_queries.entities()
        entity = next((one for one in entities if one.currency == query["currency"]), None) or ledger_queries.entity_for(None)
        at, since = instants(query, entity, present, errors)
        figures = deferred_revenue.summary(entity.currency, at, since)
        months = deferred_revenue.by_month(entity, present, BACK, AHEAD)
    return render_template(
        "finance/deferred.html", query=query, errors=errors or None, entity=entity, entities=entities, at=at, since=since, is_now=not query["at"].strip(),
        sums=figures, lines=_lines(figures), chart=_chart(months, entity), shortcuts=month_ends(entity, present),
    ), 422 if errors else 200  # fmt: skip


@finance.get("/deferred-revenue.<any(csv, xlsx):form>")
@requires("finance")
def export_deferred_revenue(form: str) -> Response:
    """Every line of the schedule as it stands now: which charge, over which period, how much of it is earned."""
    present, (query, _errors) = now(), read_query(DeferredQuery)
    with transaction(actor()):
        entity = ledger_queries.entity_for(query["currency"] or None)
        figures, rows = deferred_revenue.summary(entity.currency, present, present), deferred_revenue.detail(entity.currency)
    deferred, earned = sum(row.deferred_minor for row in rows), sum(row.recognised_minor for row in rows)
    sheet = exports.Sheet(
        title=_("Deferred revenue"),
        head=[
            (_("As of"), entity.written(present), "text"), (_("Time zone"), entity.zone.key, "text"), (_("Currency"), entity.currency, "text"),
            (_("Recognised up to"), f"{figures.done_until}" if figures.done_until else None, "text"),
            (_("Deferred revenue"), figures.closing_minor, "money"), (_("Difference to the schedule"), figures.difference_minor, "money"),
            (_("Rows"), len(rows), "count"),
        ],
        columns=[
            exports.Column(_("Number")), exports.Column(_("Member")), exports.Column(_("Member (English)")), exports.Column(_("Product")),
            exports.Column(_("Charge")), exports.Column(_("Entry")), exports.Column(_("Posted on")),
            exports.Column(_("Service from")), exports.Column(_("Service until")), exports.Column(_("Deferred"), "money"),
            exports.Column(_("Recognised"), "money"), exports.Column(_("Still to come"), "money"),
        ],
        rows=[
            (r.number, r.name, r.name_en, r.product_line, str(r.charge_id), str(r.id), str(r.posted_on), f"{r.starts:%Y-%m-%d %H:%M}",
             f"{r.ends:%Y-%m-%d %H:%M}", r.deferred_minor, r.recognised_minor, r.deferred_minor - r.recognised_minor)
            for r in rows
        ],
        total=(_("Total"), *[None] * 8, deferred, earned, deferred - earned),
        currency=entity.currency,
    )  # fmt: skip
    return exports.download(sheet, form, f"deferred-revenue-{entity.currency}-{entity.local(present):%Y%m%d-%H%M}")


def _lines(figures: Summary) -> list[tuple[str, int]]:
    """The roll-forward between opening and closing, in words; a line that is always zero but for mistakes is left out while it is."""
    names = {
        "charged": _("Charged, net of tax"), "discount": _("Discount by bonus"), "given_back": _("Given back"), "recognised": _("Recognised as revenue"),
        "other": _("Other changes"),
    }  # fmt: skip
    return [(names[line], figures.changes[line]) for line in deferred_revenue.LINES if figures.changes[line] or line != "other"]


def _chart(months: list[tuple[str, int, int]], entity: Entity) -> Chart:
    return bar_chart(
        [month for month, *_rest in months],
        {_("Recognised"): [done for _month, done, _rest in months], _("Still to come"): [rest for _month, _done, rest in months]},
        label=_("Revenue recognised by month, and what of the present balance will be"), first_column=_("Month"),
        fmt=formats.money_of(entity.currency), axis_fmt=formats.compact_money(entity.currency),
    )  # fmt: skip
