"""What the page and the API of new members take and give."""

from flask_babel import lazy_gettext as _l
from marshmallow import Schema, fields, validate

from membership import member_facts
from membership.schemas import FactsForm, FactsIn, MemberOut

_NAME_WORDS = _l("Enter a name of at most 100 characters.")
_EMAIL_WORDS = _l("Enter an e-mail address like name@example.com.")
_NAME = validate.Length(1, member_facts.NAME_LENGTH, error=_NAME_WORDS)
_EMAIL = validate.Length(3, 200, error=_EMAIL_WORDS)


class NewMemberForm(FactsForm):
    """The operator's form. `id` makes it happen once."""

    id = fields.UUID(required=True)
    number = fields.String(load_default=None)
    entity_id = fields.UUID(load_default=None, error_messages={"invalid_uuid": _l("Choose who of us sells to this member.")})
    name = fields.String(required=True, validate=_NAME, error_messages={"required": _NAME_WORDS})
    owner_name = fields.String(data_key="owner.name", required=True, validate=_NAME, error_messages={"required": _NAME_WORDS})
    owner_email = fields.String(data_key="owner.email", required=True, validate=_EMAIL, error_messages={"required": _EMAIL_WORDS})


class OwnerIn(Schema):
    """The first person of a new member."""

    name = fields.String(required=True, validate=_NAME)
    email = fields.String(required=True, validate=_EMAIL)


class NewMemberIn(FactsIn):
    """A customer to take on."""

    id = fields.UUID(required=True, metadata={"description": "The caller's own; it becomes the member's and makes it happen once."})
    name = fields.String(required=True, validate=_NAME, metadata={"description": "In Chinese."})
    number = fields.String(load_default=None, allow_none=True, metadata={"description": "The next free one where it is left out.", "example": "M00001"})
    entity_id = fields.UUID(load_default=None, allow_none=True, metadata={"description": "Who of us sells to it, where several do in the currency."})
    currency = fields.String(load_default=None, allow_none=True, metadata={"description": "One in which we sell; may be left out where there is only one."})
    owner = fields.Nested(OwnerIn, required=True)


class OwnerOut(Schema):
    """The owner of a new member, with the way in."""

    id = fields.UUID(required=True)
    name = fields.String(required=True)
    email = fields.String(required=True)
    invitation_url = fields.String(
        required=True, allow_none=True, metadata={"description": "Works once and for seven days; null once it was used. Send it to nobody else."}
    )


class NewMemberOut(MemberOut):
    """A new member and its owner."""

    owner = fields.Nested(OwnerOut, required=True)
