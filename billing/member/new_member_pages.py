"""The operator's page that takes on a customer."""

from collections.abc import Mapping
from typing import Any

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from marshmallow import ValidationError

from billing.member import new_members
from billing.member.new_member_schemas import NewMemberForm
from core.access import requires
from core.actor import actor
from core.clock import now
from core.db import transaction
from core.errors import AppError, IdReused
from core.ids import new_id
from membership import member_facts, members
from membership.member_facts_pages import filled
from membership.operator_pages import operator


@operator.get("/members/new")
@requires("operator")
def new_member() -> ResponseReturnValue:
    """The form, with the next number."""
    with transaction(actor()):
        number = members.next_number()
    return _form({"id": str(new_id()), "number": number, "industry": "other", "size": "small", "sales_cycle": "short", "channel": "direct"})


@operator.post("/members")
@requires("operator")
def create_member() -> ResponseReturnValue:
    """Take the customer on; next comes the owner's invitation. Sent twice it is one member."""
    try:
        form = NewMemberForm().load(filled(request.form))
        facts = {name: form.pop(name) for name in member_facts.FACTS}
        with transaction(actor()):
            member, owner = new_members.create(new_members.Wanted(facts=facts, **form), at=now())
    except ValidationError as error:
        return _form(request.form, error.messages_dict), 422
    except IdReused as error:
        said = _("This form was sent before, with other facts: the member is there as it was first sent, and can be changed on its page.")
        return _form(request.form, {"_form": said}), error.status
    except AppError as error:
        return _form(request.form, error.fields or {"_form": error.detail}), error.status
    flash(_("The member %(number)s is there, with an empty wallet. Hand its owner this link.", number=member.number), "success")
    return redirect(url_for("operator.show_invitation", user_id=owner.id), 303)


def _form(form: Mapping[str, Any], errors: Mapping[str, Any] | None = None) -> str:
    with transaction(actor()):
        return render_template("operator/new_member.html", form=form, errors=errors, csms=member_facts.csms(), entities=new_members.entities())
