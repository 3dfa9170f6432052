"""Shapes of the membership room's forms and JSON."""

from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from core.actor import MEMBER_ROLES, ROLES
from core.schemas import Form, PageQuery
from membership import api_keys, member_facts, members


class InvitationForm(Form):
    """Who is invited, and as what."""

    email = fields.String(required=True, validate=validate.Length(1, 200, error=_l("Enter an e-mail address like name@example.com.")))
    name = fields.String(required=True, validate=validate.Length(1, 100, error=_l("Enter a name.")))
    role = fields.String(required=True, validate=validate.OneOf(MEMBER_ROLES, error=_l("Choose a role.")))


class RoleForm(Form):
    """A role within the team."""

    role = fields.String(required=True, validate=validate.OneOf(MEMBER_ROLES, error=_l("Choose a role.")))


class SeatForm(Form):
    """The subscription whose seat a user gets; empty releases the seat."""

    seat = fields.UUID(load_default=None, allow_none=True)


class PasswordForm(Form):
    """A password that is chosen, written twice."""

    password = fields.String(required=True)
    again = fields.String(load_default="")

    @validates_schema
    def _is_written_twice(self, data: dict[str, Any], **_options: object) -> None:
        if data["again"] != data["password"]:
            raise ValidationError(_("The two passwords differ."), field_name="again")


class NewPasswordForm(Form):
    """A password for another one."""

    present = fields.String(required=True)
    password = fields.String(required=True)


class ApiKeyForm(Form):
    """What an operator fills in for a key."""

    name = fields.String(required=True, validate=validate.Length(1, 100, error=_l("Enter a name.")))
    role = fields.String(required=True, validate=validate.OneOf(api_keys.ROLES, error=_l("Choose what the key may do.")))
    member = fields.String(load_default="", metadata={"description": "The member's number, like M00001."})


def _option(options: tuple[str, ...], **more: Any) -> fields.String:
    return fields.String(validate=validate.OneOf(options), **more)


class FactsForm(Form):
    """What the operator notes about a member; `member_facts.checked` says what is not right with it."""

    name = fields.String(load_default="")
    name_en = fields.String(load_default="")
    industry = fields.String(load_default="")
    size = fields.String(load_default="")
    sales_cycle = fields.String(load_default="")
    channel = fields.String(load_default="")
    csm_id = fields.UUID(load_default=None, allow_none=True, error_messages={"invalid_uuid": _l("Choose one of our customer success managers.")})


class FactsIn(Schema):
    """Facts to change; what is left out stays. Currency and number never change."""

    name = fields.String(validate=validate.Length(1, member_facts.NAME_LENGTH), metadata={"description": "In Chinese."})
    name_en = fields.String(allow_none=True, validate=validate.Length(max=member_facts.NAME_LENGTH))
    industry = _option(member_facts.INDUSTRIES)
    size = _option(member_facts.SIZES)
    sales_cycle = _option(member_facts.SALES_CYCLES)
    channel = _option(member_facts.CHANNELS)
    csm_id = fields.UUID(allow_none=True, metadata={"description": "Who of us looks after it: a user whose role is `csm`."})


class MemberQuery(PageQuery):
    """Filters of the list of members."""

    q = fields.String(load_default="", validate=validate.Length(max=100), metadata={"description": "Part of a name or number."})
    state = fields.String(load_default="", validate=validate.OneOf(("", *members.STATES)))
    industry = fields.String(load_default="")
    size = fields.String(load_default="", validate=validate.OneOf(("", *member_facts.SIZES)))
    product_line = fields.String(load_default="")


class MemberOut(Schema):
    """A member: the subscribing organisation."""

    id = fields.UUID(required=True)
    number = fields.String(required=True, metadata={"example": "M00001"})
    name = fields.String(required=True)
    name_en = fields.String(required=True, allow_none=True)
    industry = fields.String(required=True)
    size = fields.String(required=True, validate=validate.OneOf(member_facts.SIZES))
    sales_cycle = fields.String(required=True, validate=validate.OneOf(member_facts.SALES_CYCLES))
    channel = fields.String(required=True, validate=validate.OneOf(member_facts.CHANNELS))
    currency = fields.String(required=True, metadata={"example": "CNY"})
    state = fields.String(required=True, validate=validate.OneOf(members.STATES))
    csm_id = fields.UUID(required=True, allow_none=True)
    created_at = fields.AwareDateTime(required=True)


class MeOut(Schema):
    """Whose key this is."""

    kind = fields.String(required=True, validate=validate.OneOf(("member", "staff", "publisher")))
    role = fields.String(required=True, validate=validate.OneOf(ROLES))
    name = fields.String(required=True)
    member_id = fields.UUID(required=True, allow_none=True)
    api_key_id = fields.UUID(required=True, allow_none=True)


class EntitledOut(Schema):
    """What the member may use of a product line now."""

    product_line = fields.String(required=True)
    rank = fields.Integer(required=True, metadata={"description": "Edition: 1 entry … 4 flagship"})
    features = fields.List(fields.String(), required=True, metadata={"description": "Those of lower editions too"})
    limits = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)


class EntitlementsOut(Schema):
    """Everything the member may use now; nothing of what is paused, suspended or ended."""

    items = fields.List(fields.Nested(EntitledOut), required=True)


class ApiKeyOut(Schema):
    """A key as it can be shown again: without its secret."""

    id = fields.UUID(required=True)
    prefix = fields.String(required=True)
    name = fields.String(required=True)
    role = fields.String(required=True, validate=validate.OneOf(ROLES))
    member_id = fields.UUID(required=True, allow_none=True)
    created_at = fields.AwareDateTime(required=True)
    revoked_at = fields.AwareDateTime(required=True, allow_none=True)


class ApiKeyIn(Schema):
    """A new key: for a member's machine, or (without a member) for one of ours."""

    name = fields.String(required=True, validate=validate.Length(1, 100))
    role = fields.String(required=True, validate=validate.OneOf(api_keys.ROLES))
    member_id = fields.UUID(load_default=None, allow_none=True)


class ApiKeyMade(ApiKeyOut):
    """A new key with its secret, shown this once."""

    key = fields.String(required=True)
