"""A page with every macro on it, for looking at and for the checks of the shell itself; not a part of the product."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path
from types import SimpleNamespace

from flask import Blueprint, Flask, abort, flash, render_template, request
from flask_bootstrap import Bootstrap5
from flask_wtf.csrf import CSRFProtect

from core import charts, formats, i18n, navigation, security_headers
from core.actor import Actor, set_actor

ROOT = Path(__file__).resolve().parents[2]
MONTHS = [f"2026-{m:02d}" for m in range(1, 13)]
AT = dt.datetime(2026, 6, 30, 6, 8, tzinfo=dt.UTC)


def _charts() -> dict[str, object]:
    yuan, short = formats.money_of("CNY"), formats.compact_money("CNY")
    paid = [float(9_000_000 + (i * 7919 % 11) * 400_000) for i in range(12)]
    bonus = [float(1_000_000 + (i * 104729 % 7) * 150_000) for i in range(12)]
    five = {n: [v / k for v in paid] for k, n in enumerate(("RPA", "ERP", "CRM", "HR", "BI"), 2)}
    return {
        "bar": charts.bar_chart(MONTHS, {"Paid": paid, "Bonus": bonus}, label="Top-ups rose in 2026", title="Top-ups", fmt=yuan, axis_fmt=short),
        "five": charts.bar_chart(MONTHS[:6], {k: v[:6] for k, v in five.items()}, label="Five product lines", title="By line", fmt=yuan, axis_fmt=short),
        "line": charts.line_chart(
            MONTHS, {"A": [3, 5, 4, None, 8, 9, 12, 11, 14, 13, 15, 18], "B": [2, 2, 3, 3, 4, 4, 5, 5, 6, 7, 7, 8]}, label="Use grew", title="Weekly use",
        ),
        "fall": charts.waterfall(
            [("Opening", 128_400_000), ("Topped up", 41_200_000), ("Used", -36_750_000), ("Refunded", -1_200_000), ("Expired", -350_000)],
            label="Prepaid money rose", title="Roll-forward", fmt=yuan, signed_fmt=lambda v: formats.signed_money(round(v), "CNY"),
        ),
        "heat": charts.heat_map(
            {f"2026-{m:02d}": [round(0.98 - 0.045 * k - 0.01 * m, 3) if k <= 9 - m else None for k in range(9)] for m in range(1, 8)},
            [f"M{k}" for k in range(9)], label="Renewal by cohort", corner="Cohort", fmt=lambda v: formats.percent(v, 0),
        ),
        "spark": charts.sparkline([3, 4, 4, 6, 5, 8, 9, 12], label="rose from 3 to 12 in 8 weeks"),
    }  # fmt: skip


def create_gallery() -> Flask:
    """An application with the shell, the gallery page at `/` and the error pages at `/error/<status>`."""
    app = Flask("gallery", root_path=str(ROOT), static_folder="static", template_folder="templates")
    app.config.update(SECRET_KEY="test", BOOTSTRAP_SERVE_LOCAL=True, TESTING=True)
    app.jinja_loader = __import__("jinja2").ChoiceLoader([app.jinja_loader, __import__("jinja2").FileSystemLoader(Path(__file__).parent)])
    Bootstrap5(app)
    CSRFProtect(app)
    for module in (i18n, formats, charts, navigation, security_headers):
        module.init_app(app)
    for name, views in {
        "store": ["home"], "apps": ["list_apps"], "wallet": ["show_wallet"], "subscriptions": ["show_subscriptions"],
        "team": ["list_users"], "sign_in": ["sign_out"],
    }.items():  # fmt: skip
        blueprint = Blueprint(name, name, url_prefix=f"/{name}")
        for view in views:
            blueprint.add_url_rule(f"/{view}", view, lambda: "", methods=["GET", "POST"])
        app.register_blueprint(blueprint)

    @app.before_request
    def _sign_in() -> None:
        set_actor(Actor(kind="member", role="owner", name="林晓 Lin Xiao"))

    @app.route("/", endpoint="home", methods=["GET", "POST"])
    def _gallery() -> str:
        if request.args.get("flash"):
            flash("Saved.", "success")
        errors = {"amount": ["Enter an amount of at least ¥100.00."], "method": ["Choose a way to pay."]} if request.args.get("errors") else None
        listing = SimpleNamespace(name_zh="发票自动录入", name_en="Invoice entry robot")
        return render_template(
            "gallery.html", errors=errors, at=AT, listing=listing, c=_charts(), nav_current="wallet.show_wallet", nav_badges={"team.list_users": 3}
        )

    @app.get("/error/<int:status>")
    def _error(status: int) -> tuple[str, int]:
        if status == 418:
            abort(418)
        return render_template(
            f"errors/{status}.html", status=status, title={404: "Not found", 500: "Something went wrong"}.get(status, "Conflict"), detail="Detail."
        ), status

    return app


if __name__ == "__main__":
    create_gallery().run(port=int(sys.argv[1]) if len(sys.argv) > 1 else 5099)
