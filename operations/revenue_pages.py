"""The revenue page: billed by month and kind, upsell by CSM, and how yearly value moved; the same figures as CSV and JSON."""

import csv
import io
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from flask import Response, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from marshmallow import ValidationError
from sqlalchemy import select

from core import typed
from core.access import requires
from core.actor import actor
from core.charts import Chart, Waterfall, bar_chart, waterfall
from core.clock import now
from core.db import db, transaction
from core.errors import Invalid
from core.formats import compact_money, minor, money, money_of, signed_money
from core.openapi import Blueprint as ApiBlueprint
from core.schemas import fails
from membership.entity_models import LegalEntity
from operations import revenue
from operations.csm_pages import csm
from operations.operations_schemas import RevenueOut, RevenueQuery

blp = ApiBlueprint("revenue_api", __name__, url_prefix="/api/v1", description="Revenue as billed")
MONTHS = 12
MONTHS_MAX = 60
READERS = ("csm", "finance", "operator")


def _labels() -> dict[str, str]:
    return {
        "new": _("New"), "renewal": _("Renewal"), "seats": _("Seats"), "edition": _("Edition"), "store": _("Store"), "credit": _("Other credits")
    }  # fmt: skip


@csm.get("/revenue", endpoint="revenue")
@requires(*READERS)
def show_revenue() -> ResponseReturnValue:
    """Billed revenue by month and kind, with a chart and the same figures as a table."""
    at, errors, status = now(), None, 200
    with transaction(actor()):
        entity = _entity()
        try:
            period = _period(_query(), entity, at)
        except Invalid as error:
            period, errors, status = _period({}, entity, at), error.fields, 422
        months = revenue.by_month(period, entity.currency)
        upsell = revenue.by_csm(period, entity.currency)
        movement = revenue.movement(revenue.start_of(period.last, period.zone), min(period.until, at), entity.currency)
    kinds = [kind for kind in revenue.KINDS if kind != "credit" or any(month.by_kind[kind] for month in months)]
    page = render_template(
        "csm/revenue.html", months=months, kinds=kinds, labels=_labels(), upsell=upsell, movement=movement, period=period, entity=entity, at=at,
        total=sum(month.total_minor for month in months), share=revenue.outside_renewals(months), form=request.args, errors=errors,
        sums={kind: sum(month.by_kind[kind] for month in months) for kind in kinds}, chart=_chart(months, kinds, entity.currency),
        fall=_fall(movement, entity.currency),
    )  # fmt: skip
    return page, status


@csm.get("/revenue.csv", endpoint="revenue_csv")
@requires(*READERS)
def export_revenue() -> ResponseReturnValue:
    """The table of the page, for a spreadsheet."""
    at = now()
    with transaction(actor()):
        entity = _entity()
        period = _period(_query(), entity, at)
        months = revenue.by_month(period, entity.currency)
    out, labels = io.StringIO(), _labels()
    writer = csv.writer(out)
    writer.writerow([_("Month"), *labels.values(), _("Total"), _("Currency")])
    for month in months:
        writer.writerow(
            [
                month.month.strftime("%Y-%m"),
                *(_plain(month.by_kind[kind], entity.currency) for kind in labels),
                _plain(month.total_minor, entity.currency),
                entity.currency,
            ]
        )
    name = f"revenue-{period.first:%Y-%m}-{period.last:%Y-%m}.csv"
    return Response("\ufeff" + out.getvalue(), mimetype="text/csv", headers={"Content-Disposition": f'attachment; filename="{name}"'})


@blp.get("/revenue")
@blp.arguments(RevenueQuery, location="query")
@blp.response(200, RevenueOut)
@fails(blp, 401, 403, 422)
@requires(*READERS)
def get_revenue(query: dict[str, Any]) -> dict[str, Any]:
    """Billed revenue by month and kind, tax included."""
    with transaction(actor()):
        entity = _entity()
        months = revenue.by_month(_period(query, entity, now()), entity.currency)
    rows = [
        {"month": month.month.strftime("%Y-%m"), **{f"{kind}_minor": month.by_kind[kind] for kind in revenue.KINDS}, "total_minor": month.total_minor}
        for month in months
    ]
    return {"currency": entity.currency, "months": rows}


def _entity() -> LegalEntity:
    """The vendor's legal entity: its currency and its months. Of several the first one counts."""
    return db.session.scalars(select(LegalEntity).order_by(LegalEntity.id).limit(1)).one()


def _query() -> dict[str, Any]:
    try:
        return dict(RevenueQuery(unknown="exclude").load({name: typed.date(value) for name, value in request.args.items() if value}))
    except ValidationError as error:
        wrong = _("Give months like 2026-06.")
        raise Invalid(wrong, fields={str(name): wrong for name in error.messages_dict}) from error


def _period(query: dict[str, Any], entity: LegalEntity, at: datetime) -> revenue.Period:
    """The months asked for, by default the last twelve. Raises Invalid."""
    this = at.astimezone(ZoneInfo(entity.timezone)).date().replace(day=1)
    last = date.fromisoformat(f"{query['until']}-01") if query.get("until") else this
    first = date.fromisoformat(f"{query['since']}-01") if query.get("since") else revenue.shift(last, 1 - MONTHS)
    if first > last:
        raise Invalid(_("The first month is after the last."), field="from")
    period = revenue.Period(first, last, entity.timezone)
    if len(period.months) > MONTHS_MAX:
        raise Invalid(_("At most %(most)s months at once.", most=MONTHS_MAX), field="from")
    return period


def _plain(amount_minor: int, currency: str) -> str:
    """An amount as spreadsheets read it: no separators, an ordinary minus."""
    return minor(amount_minor, currency).replace(",", "").replace("\u2212", "-")


def _chart(months: list[revenue.Month], kinds: list[str], currency: str) -> Chart:
    labels, total = _labels(), sum(month.total_minor for month in months)
    return bar_chart(
        [month.month.strftime("%Y-%m") for month in months], {labels[kind]: [month.by_kind[kind] for month in months] for kind in kinds},
        title=_("Billed by month, tax included"), fmt=money_of(currency), axis_fmt=compact_money(currency), first_column=_("Month"),
        label=_("Billed revenue by month and kind, %(total)s in all", total=money(total, currency)),
    )  # fmt: skip


def _fall(movement: revenue.Movement, currency: str) -> Waterfall:
    steps = [
        (_("Opening"), movement.opening_minor), (_("New"), movement.new_minor), (_("Expansion"), movement.expansion_minor),
        (_("Contraction"), -movement.contraction_minor), (_("Churn"), -movement.churn_minor),
    ]  # fmt: skip
    return waterfall(
        steps, title=_("Yearly value (ARR) in the last month"), fmt=money_of(currency), signed_fmt=lambda value: signed_money(round(value), currency),
        label=_("Yearly value went from %(first)s to %(last)s", first=money(movement.opening_minor, currency), last=money(movement.closing_minor, currency)),
        closing=_("Closing"), first_column=_("Step"), value_column=_("Amount"),
    )  # fmt: skip
