"""Shapes of copies and updates for machines."""

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from marketplace.copy.merging import CHOICES
from marketplace.copy.models import KINDS

_PATH = {"description": "The file's name in the bundle", "example": "mail.txt.j2"}
_SHA = {"description": "SHA-256 of the file, in hex"}


class CopyFileOut(Schema):
    """One file that does the app's work."""

    path = fields.String(required=True, metadata=_PATH)
    state = fields.String(required=True, validate=validate.OneOf(["untouched", "edited", "beside"]), metadata={"description": "beside: only the member has it"})
    installed_sha256 = fields.String(required=True, allow_none=True, metadata={"description": "Of the publisher's file in the installed version"})
    sha256 = fields.String(required=True, metadata={"description": "Of the file as it is used"})
    size = fields.Integer(required=True, metadata={"description": "Bytes"})
    is_text = fields.Boolean(required=True)


class CopyOut(Schema):
    """The copy of an app: what runs and downloads use."""

    license_id = fields.UUID(required=True)
    version = fields.String(required=True, metadata={"description": "The version the copy is of"})
    is_installed = fields.Boolean(required=True)
    state = fields.String(required=True, validate=validate.OneOf(["untouched", "edited"]))
    installed_sha256 = fields.String(required=True, metadata={"description": "Of the publisher's bundle"})
    sha256 = fields.String(required=True, metadata={"description": "Of the copy's bundle: the same while it is untouched"})
    update_version = fields.String(required=True, allow_none=True, metadata={"description": "A newer version that waits"})
    files = fields.List(fields.Nested(CopyFileOut), required=True)


class CopyPathQuery(Schema):
    """Which file."""

    path = fields.String(load_default="", validate=validate.Length(max=200), metadata=_PATH)


class CopyFileIn(Schema):
    """A file as it shall be: text in `text`, anything in `base64`."""

    path = fields.String(required=True, validate=validate.Length(1, 200), metadata=_PATH)
    text = fields.String(load_default=None)
    base64 = fields.String(load_default=None)
    seen_sha256 = fields.String(
        load_default=None,
        validate=validate.Regexp(r"[0-9a-f]{64}\Z"),
        metadata={"description": "Of the file as you last saw it: refused if it is another by now"},
    )

    @validates_schema
    def _one_of_both(self, data: dict[str, object], **_kwargs: object) -> None:
        if (data.get("text") is None) == (data.get("base64") is None):
            raise ValidationError("Give either text or base64.", "text")


class CopyStepOut(Schema):
    """What was done to a file. Without a hash it is the publisher's again."""

    id = fields.UUID(required=True)
    path = fields.String(required=True)
    version = fields.String(required=True)
    kind = fields.String(required=True, validate=validate.OneOf(KINDS))
    base_sha256 = fields.String(required=True, allow_none=True, metadata={"description": "Of the publisher's file that it stands for"})
    sha256 = fields.String(required=True, allow_none=True, metadata=_SHA)
    user_name = fields.String(required=True)
    at = fields.AwareDateTime(required=True)


class CopyHistoryOut(Schema):
    """The latest steps, newest first."""

    items = fields.List(fields.Nested(CopyStepOut), required=True)


class UpdateQuery(Schema):
    """Which version; the newest that may be used without it."""

    version = fields.String(load_default=None, validate=validate.Length(1, 40))


class UpdateFileOut(Schema):
    """One of the member's own files against the other version."""

    path = fields.String(required=True)
    needs_choice = fields.Boolean(required=True)
    options = fields.List(fields.String(validate=validate.OneOf(CHOICES)), required=True)
    base_sha256 = fields.String(required=True, allow_none=True, metadata={"description": "Of what it was based on"})
    mine_sha256 = fields.String(required=True)
    new_sha256 = fields.String(required=True, allow_none=True, metadata={"description": "Of the other version's file; null: it has none"})


class UpdateOut(Schema):
    """What an update would do to the copy."""

    from_version = fields.String(required=True, allow_none=True)
    to_version = fields.String(required=True)
    state = fields.String(required=True, validate=validate.OneOf(["untouched", "edited"]))
    files = fields.List(fields.Nested(UpdateFileOut), required=True, metadata={"description": "The member's own files; none of an untouched copy"})


class ChoiceIn(Schema):
    """What becomes of a file that both sides have changed."""

    path = fields.String(required=True, validate=validate.Length(1, 200), metadata=_PATH)
    choice = fields.String(
        required=True, validate=validate.OneOf(CHOICES),
        metadata={"description": "mine; new; both: the new one is used, mine is kept beside it; merged: both changes, where that is among the options"},
    )  # fmt: skip


class UpdateIn(Schema):
    """An update. Files that need a choice must be given one."""

    version = fields.String(load_default=None, allow_none=True, validate=validate.Length(1, 40))
    choices = fields.List(fields.Nested(ChoiceIn), load_default=list, validate=validate.Length(max=500))
