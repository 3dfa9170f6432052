"""The operator's page of the clock: what the product takes the time to be, and the way to move it on."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from flask import current_app, jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from marshmallow import Schema, ValidationError, fields

from core import clock, clock_api, clock_moves, formats, typed
from core.access import requires
from core.actor import actor
from core.db import transaction
from core.errors import AppError, Invalid
from core.formats import in_zone
from membership.operator_pages import operator

CHOICES = (1, 7, 30, 90, 365)  # days


class ClockForm(Schema):
    """Either one of the choices or an instant in the reader's zone."""

    days = fields.Integer(load_default=None, allow_none=True)
    to = fields.String(load_default="")


@operator.get("/clock")
@requires("operator")
def show_clock() -> ResponseReturnValue:
    """Product time, real time, and the form that moves the clock."""
    return _render({})


@operator.post("/clock")
@requires("operator")
def move_clock() -> ResponseReturnValue:
    """Send the clock on its way; a worker takes it there."""
    given = {name: value for name, value in request.form.items() if value.strip()}
    try:
        form = ClockForm(unknown="exclude").load(given)
        wish = _wish(form)
        with transaction(actor()):
            clock_moves.start(clock_moves.target(*wish), actor().name)
    except ValidationError as error:
        return _render(request.form, error.messages_dict), 422
    except AppError as error:
        return _render(request.form, error.fields or {"_form": error.detail}), error.status
    clock_api.leave_to_worker()
    return redirect(url_for("operator.show_clock"), 303)


@operator.get("/clock/progress")
@requires("operator")
def show_clock_progress() -> ResponseReturnValue:
    """How far the clock has come, for the page that waits for it."""
    with transaction(actor()):
        standing = clock_moves.show()
    return jsonify(text=_("It is %(instant)s.", instant=formats.datetime(standing.now)), percent=standing.percent, done=not standing.is_moving)


def _wish(form: Mapping[str, Any]) -> tuple[datetime | None, int | None]:
    """An instant or a number of days; a written instant counts more than the chosen days. Raises Invalid."""
    written = typed.date(form["to"])
    if not written:
        if form["days"] is None or form["days"] < 1:
            raise Invalid(_("Choose how far, or write a day and time."), field="days")
        return None, form["days"]
    for pattern in ("%Y-%m-%d %H:%M", "%Y-%m-%d"):
        try:
            at = datetime.strptime(written, pattern)  # noqa: DTZ007 (the zone follows)
            return at.replace(tzinfo=in_zone(clock.now()).tzinfo), None
        except ValueError:
            continue
    raise Invalid(_("Write the day and time like 2026-06-30 14:08."), field="to")


def _render(form: Mapping[str, Any], errors: Mapping[str, Any] | None = None) -> str:
    with transaction(actor()):
        standing = clock_moves.show()
    most = current_app.extensions["settings"].clock_days_max
    return render_template("operator/clock.html", clock=standing, form=form, errors=errors, choices=[days for days in CHOICES if days <= most])
