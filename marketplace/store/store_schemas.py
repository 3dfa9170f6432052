"""Shapes of the store's forms and JSON."""

from datetime import datetime
from typing import Any

from flask_babel import lazy_gettext as _l
from marshmallow import Schema, fields, pre_load, validate

from billing.wallet.wallet_schemas import Money
from core.schemas import Form, PageQuery
from marketplace.store.listings import CATEGORIES, KINDS
from marketplace.store.search import SORTS, Filters
from marketplace.store.search_query import LONGEST_QUERY


class _StrippedForm(Form):
    """Spaces around what is entered are not meant."""

    @pre_load
    def _strip(self, data: Any, **_kwargs: Any) -> dict[str, Any]:
        return {key: value.strip() if isinstance(value, str) else value for key, value in data.items()}


class SearchForm(_StrippedForm):
    """The store's search; nonsense in the address is ignored rather than refused."""

    q = fields.String(load_default="")
    kind = fields.String(load_default="")
    category = fields.String(load_default="")
    price = fields.String(load_default="")
    edition = fields.String(load_default="")
    stars = fields.String(load_default="")
    all = fields.String(load_default="")
    sort = fields.String(load_default="")
    after = fields.String(load_default=None)


def filters_of(data: dict[str, Any], fresh_since: datetime) -> Filters:
    """The filters that a loaded search holds; unknown values narrow nothing. What is stale or of no use to the reader is hidden until asked for."""
    stars, edition, shows_all = str(data["stars"]), str(data["edition"]), str(data["all"]).lower() in ("1", "true")
    return Filters(
        kind=data["kind"] if data["kind"] in KINDS else "",
        category=data["category"] if data["category"] in CATEGORIES else "",
        price=data["price"] if data["price"] in ("free", "paid") else "",
        edition=int(edition) if edition in ("0", "1", "2", "3", "4") else None,
        usable=not shows_all,
        stars=int(stars) if stars in ("3", "4") else 0,
        since=None if shows_all else fresh_since,
    )


class BuyForm(_StrippedForm):
    """The purchase a page confirms: the client's id makes a double click one purchase."""

    id = fields.UUID(required=True)
    price_minor = fields.Integer(required=True, validate=validate.Range(min=0))
    quantity = fields.Integer(load_default=1, validate=validate.Range(1, 10_000, error=_l("Enter a quantity from 1 to 10,000.")))
    coupon = fields.String(load_default="", validate=validate.Length(max=40, error=_l("At most 40 characters.")))
    monthly_cap_minor = Money(load_default=None)
    version = fields.String(load_default="", validate=validate.Length(max=20))  # of a bundle: what was read of its parts


class QuantityForm(_StrippedForm):
    """How many and with which code, in the address of the confirmation page."""

    quantity = fields.Integer(load_default=1, validate=validate.Range(1, 10_000, error=_l("Enter a quantity from 1 to 10,000.")))
    coupon = fields.String(load_default="", validate=validate.Length(max=40, error=_l("At most 40 characters.")))


class ReviewForm(_StrippedForm):
    """A buyer's review."""

    stars = fields.Integer(required=True, validate=validate.Range(1, 5, error=_l("Choose one to five stars.")),
                           error_messages={"required": _l("Choose one to five stars."), "invalid": _l("Choose one to five stars.")})  # fmt: skip
    text = fields.String(load_default="", validate=validate.Length(max=2000, error=_l("At most 2,000 characters.")))


class AnswerForm(_StrippedForm):
    """A publisher's answer; an empty one takes it back."""

    text = fields.String(load_default="", validate=validate.Length(max=2000, error=_l("At most 2,000 characters.")))


class VersionForm(_StrippedForm):
    """What a publisher says about a new version; the bundle itself is a file."""

    notes_zh = fields.String(load_default="", validate=validate.Length(max=2000, error=_l("At most 2,000 characters.")))
    notes_en = fields.String(load_default="", validate=validate.Length(max=2000, error=_l("At most 2,000 characters.")))


class RejectForm(_StrippedForm):
    """Why a version is sent back, and how to mend it."""

    reason = fields.String(
        required=True,
        error_messages={"required": _l("Say what is wrong, in 5 to 1,000 characters.")},
        validate=validate.Length(5, 1000, error=_l("Say what is wrong, in 5 to 1,000 characters.")),
    )
    file = fields.String(load_default="", validate=validate.Length(max=200, error=_l("At most 200 characters.")))
    fix = fields.String(
        required=True,
        error_messages={"required": _l("Say how to mend it, in 5 to 1,000 characters.")},
        validate=validate.Length(5, 1000, error=_l("Say how to mend it, in 5 to 1,000 characters.")),
    )


class RunForm(_StrippedForm):
    """A run: the client's id makes a double click one run. Parameters are the bundle's own and are judged by its manifest."""

    id = fields.UUID(required=True)


class VersionStepForm(_StrippedForm):
    """What staff does with a version that is out, and why."""

    action = fields.String(required=True, validate=validate.OneOf(["yank", "quarantine", "lift"]))
    reason = fields.String(
        required=True,
        error_messages={"required": _l("Say why, in 5 to 1,000 characters.")},
        validate=validate.Length(5, 1000, error=_l("Say why, in 5 to 1,000 characters.")),
    )


class ListingStepForm(VersionStepForm):
    """What staff does with a listing, and why; `replacement` is the slug of what a deprecated one points to."""

    action = fields.String(required=True, validate=validate.OneOf(["deprecate", "reinstate", "archive", "quarantine", "lift"]))
    replacement = fields.String(load_default="", validate=validate.Length(max=60, error=_l("At most 60 characters.")))


class ListingQuery(PageQuery):
    """Search and filters of the listing API."""

    q = fields.String(
        load_default="", validate=validate.Length(max=LONGEST_QUERY), metadata={"description": "Words in Chinese or English; the last letters may be missing."}
    )
    kind = fields.String(load_default="", validate=validate.OneOf(["", *KINDS]))
    category = fields.String(load_default="", validate=validate.OneOf(["", *CATEGORIES]))
    price = fields.String(load_default="", validate=validate.OneOf(["", "free", "paid"]))
    usable = fields.Boolean(load_default=False, metadata={"description": "Only what the key's member may use with its edition."})
    edition = fields.Integer(load_default=None, validate=validate.Range(0, 4), metadata={"description": "Rank of the edition that is required; 0: none."})
    stars = fields.Integer(load_default=0, validate=validate.Range(0, 5), metadata={"description": "Average rating, at least."})
    updated_since = fields.AwareDateTime(load_default=None, metadata={"description": "Changed since this instant."})
    sort = fields.String(load_default="", validate=validate.OneOf(["", *SORTS]))


class PublisherOut(Schema):
    """Who offers a listing."""

    code = fields.String(required=True)
    name_zh = fields.String(required=True)
    name_en = fields.String(required=True)
    is_verified = fields.Boolean(required=True)


class RatingOut(Schema):
    """Average stars of verified buyers."""

    average = fields.Float(required=True, allow_none=True)
    count = fields.Integer(required=True)


class ListingOut(Schema):
    """A listing, as the store shows it."""

    slug = fields.String(required=True)
    name_zh = fields.String(required=True)
    name_en = fields.String(required=True)
    summary_zh = fields.String(required=True)
    summary_en = fields.String(required=True)
    kind = fields.String(required=True)
    category = fields.String(required=True)
    price_minor = fields.Integer(
        required=True, metadata={"description": "Of one piece, with tax, as an order says it; as stated where no member tells the rate"}
    )
    excludes_tax = fields.Boolean(required=True, metadata={"description": "The price is stated without tax, so `price_minor` follows the rate in force"})
    currency = fields.String(required=True)
    pricing = fields.String(required=True, validate=validate.OneOf(["free", "one_time", "recurring", "usage"]))
    period = fields.String(required=True, allow_none=True)
    version = fields.String(required=True)
    required_rank = fields.Integer(required=True, metadata={"description": "Least edition rank, 0 for any member."})
    product_line = fields.String(required=True, allow_none=True)
    required_features = fields.List(fields.String(), required=True)
    host_version = fields.String(required=True, allow_none=True, metadata={"description": "Versions of the host that it works with, as a specifier: >=3.2,<4"})
    is_repeatable = fields.Boolean(required=True)
    licensed_per = fields.String(
        required=True,
        validate=validate.OneOf(["member", "seat"]),
        metadata={"description": "`seat`: the price is that of a seat, and the quantity of an order is how many"},
    )
    minutes_saved = fields.Integer(required=True, metadata={"description": "Per run, as the publisher states."})
    rating = fields.Nested(RatingOut, required=True)
    publisher = fields.Nested(PublisherOut, required=True)
    compatible = fields.Boolean(required=True, allow_none=True, metadata={"description": "May the key's member use it? Null for keys without a member."})
    updated_at = fields.DateTime(required=True)


class VersionOut(Schema):
    """A released version."""

    number = fields.String(required=True)
    state = fields.String(required=True, validate=validate.OneOf(["published", "yanked"]))
    sha256 = fields.String(required=True)
    notes_zh = fields.String(required=True)
    notes_en = fields.String(required=True)
    yanked_reason = fields.String(required=True, allow_none=True)
    published_at = fields.DateTime(required=True, allow_none=True)
    key_id = fields.String(required=True, allow_none=True, metadata={"description": "Of the key that signed; see `/api/v1/signing-keys`."})
    signature = fields.String(required=True, allow_none=True, metadata={"description": "Ed25519, in base64, over the canonical JSON of hash and checks."})


class SigningKeyOut(Schema):
    """The public part of a key that signs artifacts."""

    id = fields.String(required=True, metadata={"description": "The first 16 hex digits of the SHA-256 of the public key."})
    algorithm = fields.String(required=True)
    public_key = fields.String(required=True, metadata={"description": "32 bytes in base64."})
    created_at = fields.DateTime(required=True)


class ListingDetailOut(ListingOut):
    """A listing with its text, permissions and versions."""

    description_zh = fields.String(required=True)
    description_en = fields.String(required=True)
    permissions = fields.List(fields.String(), required=True)
    versions = fields.List(fields.Nested(VersionOut), required=True)


class OrderListOut(Schema):
    """An order of the key's member."""

    id = fields.UUID(required=True)
    listing = fields.String(required=True)
    version = fields.String(required=True)
    quantity = fields.Integer(required=True)
    price_minor = fields.Integer(required=True)
    total_minor = fields.Integer(required=True)
    discount_minor = fields.Integer(required=True)
    tax_minor = fields.Integer(required=True)
    currency = fields.String(required=True)
    paid_minor = fields.Integer(required=True)
    bonus_minor = fields.Integer(required=True)
    state = fields.String(required=True, validate=validate.OneOf(["completed", "refunded"]))
    at = fields.DateTime(required=True)


class LicenseOut(Schema):
    """A licence of the key's member; its id is the order's."""

    id = fields.UUID(required=True)
    listing = fields.String(required=True)
    version = fields.String(required=True, metadata={"description": "The version bought."})
    installed_version = fields.String(required=True, allow_none=True)
    newest_version = fields.String(required=True, allow_none=True)
    quantity = fields.Integer(required=True)
    seats = fields.Integer(required=True, allow_none=True, metadata={"description": "Null: for the whole organisation"})
    state = fields.String(required=True, validate=validate.OneOf(["trial", "active", "suspended", "ended"]))
    starts_at = fields.DateTime(required=True)
    ends_at = fields.DateTime(required=True, allow_none=True)


class ArtifactQuery(Schema):
    """Which version to download; the newest without it."""

    version = fields.String(load_default=None)
    original = fields.Boolean(load_default=False, metadata={"description": "The publisher's bundle, whatever was edited; this installs nothing."})
