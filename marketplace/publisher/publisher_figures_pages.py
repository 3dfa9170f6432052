"""A publisher's figures by month and listing, and the same as CSV."""

import csv
import io

from flask import Response, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from core.access import requires
from core.actor import actor
from core.charts import Chart, bar_chart
from core.clock import now
from core.db import db, transaction
from core.formats import compact_money, minor, money, money_of
from core.i18n import choose_timezone
from marketplace.publisher import publisher_figures, publishers
from marketplace.publisher.draft_pages import publisher_id, publishing_pages
from marketplace.publisher.publisher_figures import Report
from marketplace.publisher.publisher_models import Publisher


@publishing_pages.get("/publisher/figures")
@requires("publisher")
def show_figures() -> ResponseReturnValue:
    """Sales, earnings, installs, runs and ratings of the last months: of everything, or of one listing."""
    slug = request.args.get("listing", "")
    with transaction(actor()):
        one = publishers.own_listing(publisher_id(), slug) if slug else None
        found = publisher_figures.report(publisher_id(), choose_timezone(), at=now(), months=_months(), slug=slug or None)
        me = db.session.get(Publisher, publisher_id())
    return render_template("publisher/figures.html", found=found, total=found.total(), chart=_chart(found), me=me, one=one, months=_months())


@publishing_pages.get("/publisher/figures.csv")
@requires("publisher")
def export_figures() -> ResponseReturnValue:
    """A row for each month and listing in which something happened."""
    slug = request.args.get("listing", "")
    with transaction(actor()):
        if slug:
            publishers.own_listing(publisher_id(), slug)
        found = publisher_figures.report(publisher_id(), choose_timezone(), at=now(), months=_months(), slug=slug or None)
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(
        [
            _("Month"), _("Listing"), _("Orders"), _("Trials"), _("Sold, tax included"), _("Given back"), _("Earned"), _("Currency"), _("Installs"),
            _("Updates"), _("Uninstalls"), _("App runs"), _("Failed runs"), _("Ratings"), _("Average rating"),
        ]
    )  # fmt: skip
    for month, listing, one in publisher_figures.rows_of(found):
        amounts = [_plain(amount, found.currency) for amount in (one.sold_minor, one.refunded_minor, one.earned_minor)]
        rating = f"{one.rating:.2f}" if one.rating is not None else ""
        writer.writerow(
            [
                f"{month:%Y-%m}",
                listing.slug,
                one.orders,
                one.trials,
                *amounts,
                found.currency,
                one.installs,
                one.updates,
                one.uninstalls,
                one.runs,
                one.failed,
                one.ratings,
                rating,
            ]
        )
    name = f"figures-{found.months[0]:%Y-%m}-{found.months[-1]:%Y-%m}.csv"
    return Response("\ufeff" + out.getvalue(), mimetype="text/csv", headers={"Content-Disposition": f'attachment; filename="{name}"'})


def _months() -> int:
    """How many months are asked for; nonsense is twelve."""
    asked = request.args.get("months", "")
    wanted = int(asked) if asked.isascii() and asked.isdecimal() and len(asked) < 4 else 0
    return min(wanted, publisher_figures.LONGEST) or publisher_figures.MONTHS


def _plain(amount_minor: int, currency: str) -> str:
    """An amount as spreadsheets read it: no separators, an ordinary minus."""
    return minor(amount_minor, currency).replace(",", "").replace("\u2212", "-")


def _chart(found: Report) -> Chart:
    months = [found.total(month=month) for month in found.months]
    total = money(sum(one.earned_minor for one in months), found.currency)
    label = _("Earned by month, %(total)s in all", total=total)
    return bar_chart(
        [f"{month:%Y-%m}" for month in found.months], {_("Earned"): [one.earned_minor for one in months]}, title=_("Earned by month"), label=label,
        fmt=money_of(found.currency), axis_fmt=compact_money(found.currency), first_column=_("Month"),
    )  # fmt: skip
