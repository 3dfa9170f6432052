"""Finance's pages of renewals: to come, past due, parked, the runs, and a dry run."""

import itertools
import uuid
from typing import Any

from flask import Response, current_app, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import LazyString
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

from billing.finance import exports
from billing.finance.finance_blueprint import finance
from billing.ledger import ledger_queries
from billing.renewal import dunning, renewal_dry_run, renewal_lists
from billing.wallet.wallet_schemas import errors_of
from core.access import requires
from core.actor import actor
from core.clock import now
from core.db import transaction
from core.errors import AppError
from membership import catalogue

HORIZONS = (30, 60, 90)
ROWS = 50
DRY_RUN_MOST = 5_000  # the page's dry run; the command line has no limit
OUTCOMES: dict[str, tuple[LazyString, str]] = {
    "renewed": (_l("Renewed"), "ok"), "past_due": (_l("Past due"), "danger"), "suspended": (_l("Suspended"), "danger"), "lapsed": (_l("Ended unpaid"), ""),
    "ended": (_l("Ended as cancelled"), ""), "parked": (_l("Parked"), "warn"),
}  # fmt: skip
FAULTS: dict[str, LazyString] = {
    "no_price": _l("There is no price for its edition, period and currency."), "member_closed": _l("The member is closed."),
    "no_member": _l("Its member is missing."), "no_calendar": _l("Its legal entity is missing."), "nothing_to_renew": _l("It has nothing to renew."),
    "id_reused": _l("The ledger knows this charge with other content."),
}  # fmt: skip
STEPS: dict[str, LazyString] = {"retry": _l("will be tried again"), "suspend": _l("will be suspended"), "end": _l("will end")}


class DueQuery(Schema):
    """How far to look, and whether only at those that wallets do not cover."""

    class Meta:
        unknown = EXCLUDE

    days = fields.Integer(load_default=30, validate=validate.OneOf(HORIZONS))
    show = fields.String(load_default="all", validate=validate.OneOf(("all", "short")))
    currency = fields.String(load_default="")
    page = fields.Integer(load_default=1, validate=validate.Range(1, 1_000))


def fault(code: str) -> str:
    """Why something is parked, in words; what the database said as it came."""
    return str(FAULTS[code]) if code in FAULTS else code


def _shared() -> dict[str, Any]:
    """What all of these pages need for names."""
    return {
        "outcomes": OUTCOMES, "fault": fault, "lines": {line.code: line for line in catalogue.product_lines()}, "editions": catalogue.all_editions(),
        "currency_of": sorted,
    }  # fmt: skip


def _query() -> tuple[dict[str, Any], dict[str, Any]]:
    given = request.args.to_dict()
    try:
        return DueQuery().load(given), {}
    except ValidationError as error:
        wrong = dict(errors_of(error))
        return DueQuery().load({name: value for name, value in given.items() if name not in wrong}), wrong


@finance.get("/renewals")
@requires("finance")
def renewals() -> ResponseReturnValue:
    """Renewals of the next 30, 60 or 90 days, and whether wallets cover them."""
    at, (query, errors) = now(), _query()
    with transaction(actor()):
        entity = ledger_queries.entity_for(query["currency"] or None)
        forecast = renewal_lists.coming(entity.currency, query["days"], at=at)
        rows = forecast.short if query["show"] == "short" else forecast.rows
        first = (query["page"] - 1) * ROWS
        entities, shared = ledger_queries.entities(), _shared()
    kept = {name: query[name] for name in ("days", "show", "currency") if query[name]}
    return render_template(
        "finance/renewals.html", at=at, query=query, errors=errors or None, kept=kept, entity=entity, entities=entities, forecast=forecast,
        rows=rows[first : first + ROWS], matching=len(rows), has_more=len(rows) > first + ROWS, horizons=HORIZONS, **shared,
    ), 422 if errors else 200  # fmt: skip


@finance.get("/renewals.<any(csv, xlsx):form>")
@requires("finance")
def export_renewals(form: str) -> Response:
    """All rows of the list, with instant, zone and currency in the head."""
    at, (query, _errors) = now(), _query()
    with transaction(actor()):
        entity = ledger_queries.entity_for(query["currency"] or None)
        forecast = renewal_lists.coming(entity.currency, query["days"], at=at)
        names = _shared()
    rows = forecast.short if query["show"] == "short" else forecast.rows
    sheet = exports.Sheet(
        title=_("Renewals to come"),
        head=[
            (_("As of"), entity.written(at), "text"), (_("Time zone"), entity.zone.key, "text"), (_("Currency"), entity.currency, "text"),
            (_("Days"), query["days"], "count"), (_("Rows"), len(rows), "count"),
        ],
        columns=[
            exports.Column(_("Renews on")), exports.Column(_("Number")), exports.Column(_("Member")), exports.Column(_("Subscription")),
            exports.Column(_("Seats"), "count"), exports.Column(_("Amount"), "money"), exports.Column(_("Lacking"), "money"), exports.Column(_("State")),
        ],
        rows=[
            (entity.written(r.begins_at), r.number, r.name, names["lines"][r.product_line].name_zh, r.seats, r.price_minor, r.lacking_minor, r.fault or r.state)
            for r in rows
        ],
        total=(_("Total"), None, None, None, None, sum(r.price_minor or 0 for r in rows), sum(r.lacking_minor for r in rows), None),
        currency=entity.currency,
    )  # fmt: skip
    return exports.download(sheet, form, f"renewals-{entity.currency}-{entity.local(at):%Y%m%d}")


@finance.get("/renewals/past-due")
@requires("finance")
def past_due_renewals() -> ResponseReturnValue:
    """Unpaid renewals with their step of the dunning plan."""
    at, plan = now(), dunning.Plan.of(current_app.extensions["settings"])
    with transaction(actor()):
        return render_template(
            "finance/renewals_past_due.html", at=at, plan=plan, cases=dunning.cases(), sums=dunning.sums(), steps=STEPS, **_shared(),
            step=lambda case: plan.step_after(case.due_at, at),
        )  # fmt: skip


@finance.get("/renewals/parked")
@requires("finance")
def parked_renewals() -> ResponseReturnValue:
    """What could not be judged, and why."""
    with transaction(actor()):
        return render_template("finance/renewals_parked.html", at=now(), parked=renewal_lists.parked(), **_shared())


@finance.post("/renewals/parked/<uuid:member_id>/<uuid:subscription_id>/release")
@requires("finance")
def release_renewal(member_id: uuid.UUID, subscription_id: uuid.UUID) -> ResponseReturnValue:
    """The cause is gone: let the next run look at it."""
    try:
        with transaction(actor()):
            renewal_lists.release(member_id, subscription_id, at=now())
    except AppError as error:
        flash(error.detail, "danger")
    else:
        flash(_("The next run looks at it, within a minute or two."), "success")
    return redirect(url_for("finance.parked_renewals"), 303)


@finance.get("/renewals/runs")
@requires("finance")
def renewal_runs() -> ResponseReturnValue:
    """The latest runs, and what each did."""
    with transaction(actor()):
        return render_template("finance/renewal_runs.html", at=now(), runs=renewal_lists.runs(), **_shared())


@finance.get("/renewals/runs/<uuid:run_id>")
@requires("finance")
def show_renewal_run(run_id: uuid.UUID) -> ResponseReturnValue:
    """One run: its figures, that they tie to the charges, and the charges."""
    with transaction(actor()):
        shown = renewal_lists.show_run(run_id)
        ties = {currency: renewal_lists.charged_minor(shown.run, currency) for currency in shown.totals}
        return render_template("finance/renewal_run.html", shown=shown, ties=ties, charges=renewal_lists.charges_of(shown.run), **_shared())


@finance.get("/renewals/dry-run")
@requires("finance")
def dry_run_renewals() -> ResponseReturnValue:
    """What a run right now would do; nothing is done."""
    at, is_asked = now(), "run" in request.args
    found = list(itertools.islice(renewal_dry_run.outcomes(at, actor(), most=DRY_RUN_MOST), DRY_RUN_MOST)) if is_asked else []
    sums: dict[tuple[str, str], tuple[int, int]] = {}
    for one in found:
        count, amount = sums.get((one.currency, one.outcome), (0, 0))
        sums[one.currency, one.outcome] = (count + 1, amount + one.amount_minor)
    with transaction(actor()):
        numbers = renewal_lists.numbers_of({one.member_id for one in found[:ROWS]})
        shared = _shared()
    return render_template(
        "finance/renewals_dry_run.html", at=at, is_asked=is_asked, found=found[:ROWS], count=len(found), is_whole=len(found) < DRY_RUN_MOST, sums=sums,
        numbers=numbers, **shared,
    )  # fmt: skip


@finance.get("/renewals/dry-run.<any(csv, xlsx):form>")
@requires("finance")
def export_dry_run(form: str) -> Response:
    """The dry run row by row."""
    at = now()
    found = list(itertools.islice(renewal_dry_run.outcomes(at, actor(), most=DRY_RUN_MOST), DRY_RUN_MOST))
    with transaction(actor()):
        entity = ledger_queries.entity_for(None)
        numbers, names = renewal_lists.numbers_of({one.member_id for one in found}), _shared()
    sheet = exports.Sheet(
        title=_("Dry run of renewals"),
        head=[(_("As of"), entity.written(at), "text"), (_("Time zone"), entity.zone.key, "text"), (_("Rows"), len(found), "count")],
        columns=[
            exports.Column(_("Number")), exports.Column(_("Member")), exports.Column(_("Subscription")), exports.Column(_("Term no."), "count"),
            exports.Column(_("Outcome")), exports.Column(_("Amount"), "money"), exports.Column(_("Lacking"), "money"), exports.Column(_("Currency")),
            exports.Column(_("From")), exports.Column(_("Reason")),
        ],
        rows=[
            (*numbers.get(o.member_id, ("", "")), names["lines"][o.product_line].name_zh, o.term, str(OUTCOMES[o.outcome][0]), o.amount_minor, o.missing_minor,
             o.currency, entity.written(o.begins_at), o.fault and fault(o.fault))
            for o in found
        ],
        currency=entity.currency,
    )  # fmt: skip
    return exports.download(sheet, form, f"renewals-dry-run-{entity.local(at):%Y%m%d-%H%M}")
