"""Shapes of a publisher's API and form: a listing's words and terms, versions handed in, their checks."""

from typing import Any

from flask_babel import lazy_gettext as _l
from marshmallow import Schema, ValidationError, fields, pre_load, validate, validates

from billing.wallet.wallet_schemas import Money
from core.schemas import Form, RecordSchema
from marketplace.store.listings import CATEGORIES, KINDS

STEP = validate.And(validate.Length(equal=2, error=_l("A step is a feature and an action.")))
MOST_STEPS = 50
MOST_MINOR = 10**9
NOT_TO_DRAFT = ("service_offering", "bundle")  # a service needs milestones, a bundle its parts: they have forms of their own
KINDS_TO_DRAFT = tuple(kind for kind in KINDS if kind not in NOT_TO_DRAFT)
RESERVED = ("figures", "keys", "new", "services", "claims", "earnings", "notices")  # pages of publishers that stand where a listing's would


def _text(most: int, what: str) -> Any:
    return fields.String(validate=validate.Length(max=most, error=_l("At most %(most)s characters.", most=most)), metadata={"description": what})


class ListingDraftFields(Schema):
    """What a publisher says about a listing; all of it may change as long as the listing is a draft. Prices include tax."""

    category = fields.String(validate=validate.OneOf(CATEGORIES, error=_l("Choose a category.")))
    name_zh = _text(40, "2 to 40 characters.")
    name_en = _text(80, "4 to 80 characters.")
    summary_zh = _text(80, "8 to 80 characters.")
    summary_en = _text(160, "20 to 160 characters.")
    description_zh = _text(4000, "At least 60 characters; Markdown.")
    description_en = _text(4000, "At least 120 characters; Markdown.")
    pricing = fields.String(validate=validate.OneOf(["free", "one_time", "recurring"], error=_l("Choose how it is paid.")))
    price_minor = fields.Integer(
        strict=True,
        validate=validate.Range(0, MOST_MINOR, error=_l("Enter a price from 0 to 10,000,000.")),
        metadata={"description": "Minor units of `currency`, tax included; 0 exactly for what is free."},
    )
    period = fields.String(
        allow_none=True, validate=validate.OneOf(["month", "year"], error=_l("Choose month or year.")), metadata={"description": "Of a recurring price."}
    )
    trial_days = fields.Integer(strict=True, validate=validate.Range(0, 365, error=_l("Enter 0 to 365 days.")), metadata={"description": "0: no trial."})
    licensed_per = fields.String(
        validate=validate.OneOf(["member", "seat"], error=_l("Choose who one licence is for.")),
        metadata={"description": "`member`: one licence serves an organisation; `seat`: the price is that of a seat, and a buyer says how many."},
    )
    is_repeatable = fields.Boolean(metadata={"description": "May be bought any number of times, like a usage pack; else one licence serves an organisation."})
    product_line = fields.String(
        allow_none=True,
        validate=validate.Length(max=40, error=_l("Choose a product line.")),
        metadata={"description": "Whose edition is asked for; null: any."},
    )
    required_rank = fields.Integer(
        strict=True, validate=validate.Range(0, 4, error=_l("Choose an edition.")), metadata={"description": "Least edition rank, 0 for any member."}
    )
    required_features = fields.List(fields.String(validate=validate.Length(1, 60)), validate=validate.Length(max=20))
    minutes_saved = fields.Integer(
        strict=True, validate=validate.Range(0, 10_000, error=_l("Enter 0 to 10,000 minutes.")), metadata={"description": "Per run, your own statement."}
    )
    automates = fields.List(
        fields.List(fields.String(validate=validate.Regexp(r"^[a-z_]{1,60}\Z", error=_l("Lower-case letters and underscores only."))), validate=STEP),
        validate=validate.Length(max=MOST_STEPS, error=_l("At most %(most)s steps.", most=MOST_STEPS)),
        metadata={"description": "The steps that one run replaces, as `[feature, action]`.", "example": [["contact", "merge"]]},
    )


class ListingDraftIn(ListingDraftFields):
    """A new listing. Words may follow later; they are asked for when it is submitted."""

    slug = fields.String(
        required=True,
        validate=validate.And(
            validate.Length(3, 60, error=_l("3 to 60 characters.")),
            validate.Regexp(r"^[a-z0-9]+(-[a-z0-9]+)*\Z", error=_l("Lower-case letters, digits and single hyphens, like clean-phone-numbers.")),
            validate.NoneOf(RESERVED, error=_l("This name is kept for the store's own pages.")),
        ),
        error_messages={"required": _l("Choose the name in the address.")},
        metadata={"description": "The name in its address, which its bundles carry too; it never changes.", "pattern": "^[a-z0-9]+(-[a-z0-9]+)*$"},
    )
    kind = fields.String(
        required=True, validate=validate.OneOf(KINDS_TO_DRAFT, error=_l("Choose a kind.")), error_messages={"required": _l("Choose a kind.")},
        metadata={"description": "It never changes."},
    )  # fmt: skip
    category = fields.String(
        required=True, validate=validate.OneOf(CATEGORIES, error=_l("Choose a category.")), error_messages={"required": _l("Choose a category.")}
    )
    name_zh = fields.String(
        required=True, validate=validate.Length(2, 40, error=_l("2 to 40 characters.")), error_messages={"required": _l("2 to 40 characters.")}
    )
    name_en = fields.String(
        required=True, validate=validate.Length(4, 80, error=_l("4 to 80 characters.")), error_messages={"required": _l("4 to 80 characters.")}
    )


class VersionSummaryOut(RecordSchema):
    """A version, in any state."""

    number = fields.String(required=True)
    state = fields.String(required=True, validate=validate.OneOf(["draft", "scanning", "in_review", "published", "yanked", "rejected"]))
    is_quarantined = fields.Boolean(required=True)
    sha256 = fields.String(required=True, metadata={"description": "Of the bundle as the store packed it anew: the same files give the same hash."})
    notes_zh = fields.String(required=True)
    notes_en = fields.String(required=True)
    created_at = fields.DateTime(required=True)
    published_at = fields.DateTime(required=True, allow_none=True)
    review_note = fields.String(required=True, allow_none=True, metadata={"description": "Why a reviewer sent it back, and how to mend it."})
    yanked_reason = fields.String(required=True, allow_none=True)


class OwnListingOut(RecordSchema):
    """One of the publisher's own listings, in any state."""

    slug = fields.String(required=True)
    kind = fields.String(required=True)
    category = fields.String(required=True)
    state = fields.String(required=True, validate=validate.OneOf(["draft", "in_review", "published", "deprecated", "archived"]))
    state_reason = fields.String(required=True, allow_none=True, metadata={"description": "Why it was sent back, deprecated or archived."})
    is_quarantined = fields.Boolean(required=True)
    name_zh = fields.String(required=True)
    name_en = fields.String(required=True)
    summary_zh = fields.String(required=True)
    summary_en = fields.String(required=True)
    description_zh = fields.String(required=True)
    description_en = fields.String(required=True)
    pricing = fields.String(required=True)
    price_minor = fields.Integer(required=True)
    currency = fields.String(required=True)
    period = fields.String(required=True, allow_none=True)
    trial_days = fields.Integer(required=True)
    licensed_per = fields.String(required=True)
    is_repeatable = fields.Boolean(required=True)
    product_line = fields.String(required=True, allow_none=True)
    required_rank = fields.Integer(required=True)
    required_features = fields.List(fields.String(), required=True)
    minutes_saved = fields.Integer(required=True)
    automates = fields.Function(lambda listing: listing.automates["steps"], required=True, metadata={"type": "array", "items": {"type": "array"}})
    current_version = fields.String(required=True, allow_none=True, metadata={"description": "What is on sale; null: nothing."})
    revision = fields.Integer(required=True)
    published_at = fields.DateTime(required=True, allow_none=True)
    updated_at = fields.DateTime(required=True)


class OwnListingDetailOut(Schema):
    """A listing with its versions, newest first, and what keeps it from being submitted."""

    listing = fields.Nested(OwnListingOut, required=True)
    versions = fields.List(fields.Nested(VersionSummaryOut), required=True)
    missing = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        required=True,
        metadata={"description": "Field → what is still needed; empty: it may be submitted."},
    )


class FindingOut(RecordSchema):
    """One thing that is wrong: where, which rule, and how to mend it."""

    rule = fields.String(required=True)
    file = fields.String(required=True, allow_none=True)
    line = fields.Integer(required=True, allow_none=True)
    message = fields.String(required=True, attribute="sentence")
    fix = fields.String(required=True)


class CheckOut(Schema):
    """One check of the last attempt."""

    name = fields.String(required=True)
    title = fields.String(required=True, metadata={"description": "In the language of Accept-Language."})
    state = fields.String(required=True, validate=validate.OneOf(["waiting", "running", "passed", "failed", "refused", "not_reached"]))
    findings = fields.List(fields.Nested(FindingOut), required=True)
    advice = fields.List(fields.Nested(FindingOut), required=True, metadata={"description": "What the linter advises; it stops nothing."})
    started_at = fields.DateTime(required=True, allow_none=True)
    finished_at = fields.DateTime(required=True, allow_none=True)


class ProgressOut(RecordSchema):
    """How far the checks are."""

    text = fields.String(required=True)
    percent = fields.Integer(required=True)
    done = fields.Boolean(required=True)


class CheckedVersionOut(Schema):
    """A version with its checks as they end."""

    listing = fields.String(required=True)
    version = fields.Nested(VersionSummaryOut, required=True)
    progress = fields.Nested(ProgressOut, required=True)
    checks = fields.List(fields.Nested(CheckOut), required=True)


class NotesQuery(Schema):
    """What is new, where the body is the zip alone."""

    notes_zh = fields.String(load_default="", validate=validate.Length(max=2000, error=_l("At most 2,000 characters.")))
    notes_en = fields.String(load_default="", validate=validate.Length(max=2000, error=_l("At most 2,000 characters.")))


class ListingDraftForm(ListingDraftIn, Form):
    """The same from a page, where everything is text: prices in major units, steps a line each."""

    price = Money(allow_zero=True, validate=validate.Range(max=MOST_MINOR, error=_l("Enter a price from 0 to 10,000,000.")))

    @pre_load
    def _from_text(self, data: Any, **_kwargs: Any) -> dict[str, Any]:
        found: dict[str, Any] = {key: value.strip() for key, value in data.items() if isinstance(value, str) and key != "price_minor"}
        for name in ("trial_days", "required_rank", "minutes_saved"):
            if name in found:
                found[name] = int(found[name]) if found[name].isdecimal() and len(found[name]) < 10 else 0 if not found[name] else found[name]
        for name in ("period", "product_line"):
            if name in found:
                found[name] = found[name] or None
        found["price"] = found.get("price") or "0"  # free
        found["is_repeatable"] = bool(found.get("is_repeatable"))
        if "automates" in found:
            found["automates"] = [line.replace(":", " ").replace(".", " ").split() for line in found["automates"].splitlines() if line.strip()]
        if "required_features" in found:
            found["required_features"] = found["required_features"].replace(",", " ").split()
        return found

    @validates("automates")
    def _lines(self, value: list[list[str]], **_kwargs: Any) -> None:
        if any(len(step) != 2 for step in value):
            raise ValidationError(str(_l("A step is a feature and an action.")))


class PublisherKeyForm(Form):
    """What a publisher's new key is for."""

    name = fields.String(required=True, validate=validate.Length(1, 100, error=_l("Enter a name.")), error_messages={"required": _l("Enter a name.")})
