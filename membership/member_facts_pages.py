"""The operator's form of what we note about a member."""

import uuid
from collections.abc import Mapping
from typing import Any

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from marshmallow import ValidationError

from core import clock
from core.access import requires
from core.actor import actor
from core.db import transaction
from core.errors import Invalid
from membership import member_facts, members
from membership.operator_pages import operator
from membership.schemas import FactsForm


@operator.get("/members/<uuid:member_id>/facts")
@requires("operator")
def edit_facts(member_id: uuid.UUID) -> ResponseReturnValue:
    """The facts of a member, to be changed."""
    return _render(member_id)


@operator.post("/members/<uuid:member_id>/facts")
@requires("operator")
def change_facts(member_id: uuid.UUID) -> ResponseReturnValue:
    """Change them."""
    try:
        form = FactsForm().load(filled(request.form))
        with transaction(actor()):
            member_facts.change(member_id, form, at=clock.now())
    except ValidationError as error:
        return _render(member_id, request.form, error.messages_dict), 422
    except Invalid as error:
        return _render(member_id, request.form, error.fields), error.status
    flash(_("The facts are saved."), "success")
    return redirect(url_for("operator.show_member", member_id=member_id), 303)


def filled(form: Mapping[str, str]) -> dict[str, str]:
    """A form without what was left empty."""
    return {name: value for name, value in form.items() if value.strip()}


def _render(member_id: uuid.UUID, form: Mapping[str, Any] | None = None, errors: Mapping[str, Any] | None = None) -> str:
    with transaction(actor()):
        member = members.find(member_id)
        shown = {name: getattr(member, name) for name in member_facts.FACTS} if form is None else form
        return render_template(
            "operator/member_facts.html", member=member, form=shown, errors=errors, csms=member_facts.csms(), csm=member_facts.csm_of(member)
        )
