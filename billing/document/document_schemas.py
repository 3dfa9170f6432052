"""What pages and API of documents take and give."""

from typing import Any

from flask_babel import lazy_gettext as _l
from marshmallow import EXCLUDE, Schema, fields, pre_load, validate

from billing.document.billing_details import COUNTRIES
from billing.finance.finance_schemas import SENSIBLE
from billing.wallet.wallet_schemas import Money
from core.schemas import Form, PageQuery

KINDS = ("invoice", "receipt", "credit_note")
LANGUAGES = ("zh", "en")
MONTH = r"^(\d{4}-(0[1-9]|1[0-2]))?$"


class Stripped(fields.String):
    """Text without the blanks around it; where nothing is left, none, if that is allowed."""

    def deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        """Strip first, so that the checks see what is kept."""
        stripped = value.strip() if isinstance(value, str) else value
        return super().deserialize(None if stripped == "" and self.allow_none else stripped, *args, **kwargs)


class DocumentQuery(Schema):
    """Filters of a list of documents."""

    class Meta:
        unknown = EXCLUDE

    kind = fields.String(load_default="", validate=validate.OneOf(("", *KINDS)))
    month = fields.String(load_default="", validate=validate.Regexp(MONTH, error=_l("Write the month as 2026-06.")))
    q = fields.String(load_default="", validate=validate.Length(max=100))
    currency = fields.String(load_default="")
    after = fields.String(load_default=None)
    show = fields.String(load_default="")


class BillingDetailsForm(Form):
    """The page of billing details."""

    version = fields.Integer(required=True, validate=validate.Range(min=0))
    title = Stripped(required=True, validate=validate.Length(min=2, max=100, error=_l("Enter the name that documents are made out to.")))
    country = fields.String(required=True, validate=validate.OneOf(COUNTRIES, error=_l("Choose a country.")))
    tax_number = Stripped(load_default=None, allow_none=True, validate=validate.Length(max=40))
    address = Stripped(load_default=None, allow_none=True, validate=validate.Length(max=300))
    phone = Stripped(load_default=None, allow_none=True, validate=validate.Length(max=40))
    email = Stripped(load_default=None, allow_none=True, validate=validate.And(validate.Length(max=200), validate.Email(error=_l("Enter an e-mail address."))))
    language = fields.String(required=True, validate=validate.OneOf(LANGUAGES))
    invoice_grouping = fields.String(load_default=None, allow_none=True, validate=validate.OneOf(("charge", "month")))
    order_number = Stripped(load_default=None, allow_none=True, validate=validate.Length(max=60))
    cost_centre = Stripped(load_default=None, allow_none=True, validate=validate.Length(max=60))

    @pre_load
    def _nothing_chosen(self, data: Any, **_more: Any) -> Any:
        """An empty field is one that was left out."""
        return {name: value for name, value in data.items() if value != "" or name in ("title", "version")}


class Percent(fields.Field[int]):
    """A rate as people write it, `6` or `6.5`; basis points inside."""

    default_error_messages = {"invalid": _l("Enter a rate from 0 to 100, like 6 or 6.5.")}  # noqa: RUF012 (marshmallow's way)

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> int:
        whole, _dot, part = str(value).strip().removesuffix("%").partition(".")
        if not whole.isdecimal() or not whole.isascii() or not (part or "0").isdecimal() or not part.isascii() or len(part) > 2:
            raise self.make_error("invalid")
        rate_bp = int(whole) * 100 + int(part.ljust(2, "0"))
        if rate_bp > 10_000:
            raise self.make_error("invalid")
        return rate_bp


class TaxRateForm(Form):
    """A tax rate to come."""

    entity_id = fields.UUID(required=True)
    first_day = fields.Date(required=True, error_messages={"invalid": _l("Write the day as 2026-06-30."), "required": _l("Write the day as 2026-06-30.")})
    rate = Percent(required=True)
    rate_name_zh = Stripped(required=True, validate=validate.Length(min=1, max=40, error=_l("Enter a name for the tax.")))
    rate_name_en = Stripped(required=True, validate=validate.Length(min=1, max=40, error=_l("Enter a name for the tax.")))
    prices = fields.String(load_default=None, validate=validate.OneOf(("include", "exclude"), error=_l("Choose how prices are stated.")))
    sample = Money(load_default=100_00, allow_zero=True, validate=validate.Range(max=10**11, max_inclusive=False, error=_l("Enter an amount like 1,000.00.")))
    step = fields.String(load_default="")  # preview: show what it does, and set nothing


class TaxRateRef(Form):
    """Which rate to take back."""

    entity_id = fields.UUID(required=True)
    valid_from = fields.AwareDateTime(required=True, format="iso", validate=SENSIBLE)


class SellerForm(Form):
    """What stands on documents about their seller."""

    entity_id = fields.UUID(required=True)
    name = Stripped(required=True, validate=validate.Length(min=2, max=100, error=_l("Enter the company's name.")))
    name_en = Stripped(load_default=None, allow_none=True, validate=validate.Length(max=100))
    tax_number = Stripped(load_default=None, allow_none=True, validate=validate.Length(max=40))
    address_zh = Stripped(load_default=None, allow_none=True, validate=validate.Length(max=300))
    address_en = Stripped(load_default=None, allow_none=True, validate=validate.Length(max=300))
    phone = Stripped(load_default=None, allow_none=True, validate=validate.Length(max=40))
    email = Stripped(load_default=None, allow_none=True, validate=validate.Length(max=200))
    invoice_grouping = fields.String(required=True, validate=validate.OneOf(("charge", "month")))


class InvoiceQuery(PageQuery):
    """Filters of the API's list."""

    kind = fields.String(load_default="", validate=validate.OneOf(("", *KINDS)), metadata={"description": "invoice, receipt or credit_note; empty: all"})
    since = fields.AwareDateTime(load_default=None, format="iso", validate=SENSIBLE, metadata={"description": "Issued at or after this instant"})
    until = fields.AwareDateTime(load_default=None, format="iso", validate=SENSIBLE, metadata={"description": "Issued before this instant"})


class InvoiceFileQuery(Schema):
    """In which language."""

    lang = fields.String(load_default=None, validate=validate.OneOf(LANGUAGES), metadata={"description": "Without it, the document's own language"})


class InvoiceOut(Schema):
    """A document in a list."""

    id = fields.UUID(required=True)
    kind = fields.String(required=True, validate=validate.OneOf(KINDS))
    number = fields.String(required=True)
    currency = fields.String(required=True)
    issued_at = fields.AwareDateTime(required=True)
    supplied_from = fields.AwareDateTime(required=True)
    supplied_until = fields.AwareDateTime(required=True)
    net_minor = fields.Integer(required=True)
    tax_minor = fields.Integer(required=True)
    gross_minor = fields.Integer(required=True, metadata={"description": "Tax included; of a credit note what it takes back, above zero"})
    buyer = fields.String(required=True)
    corrects_id = fields.UUID(required=True, allow_none=True, metadata={"description": "Of a credit note: the invoice it takes back in part or whole"})


class InvoiceLineOut(Schema):
    """One line of a document."""

    n = fields.Integer(required=True)
    transaction_id = fields.UUID(required=True, metadata={"description": "The ledger entry; also the id of the order, subscription charge or top-up"})
    name_zh = fields.String(required=True)
    name_en = fields.String(required=True)
    quantity = fields.Integer(required=True)
    unit_minor = fields.Integer(required=True, allow_none=True)
    unit_excludes_tax = fields.Boolean(metadata={"description": "True where the unit price is the net one: tax comes on top of it"})
    net_minor = fields.Integer(required=True)
    rate_bp = fields.Integer(required=True, allow_none=True, metadata={"description": "Tax rate in basis points: 600 is 6%"})
    tax_minor = fields.Integer(required=True)
    gross_minor = fields.Integer(required=True)
    at = fields.String(required=True)
    service_from = fields.String(required=True, allow_none=True)
    service_until = fields.String(required=True, allow_none=True)


class TaxLineOut(Schema):
    """What one rate comes to."""

    rate_bp = fields.Integer(required=True, allow_none=True)
    name_zh = fields.String(required=True)
    name_en = fields.String(required=True)
    net_minor = fields.Integer(required=True)
    tax_minor = fields.Integer(required=True)
    gross_minor = fields.Integer(required=True)


class PartyOut(Schema):
    """Buyer or seller as the document names them."""

    name = fields.String(required=True)
    tax_number = fields.String(required=True, allow_none=True)
    address = fields.String(required=True, allow_none=True)
    phone = fields.String(required=True, allow_none=True)
    email = fields.String(required=True, allow_none=True)


class InvoiceDetailOut(InvoiceOut):
    """A document in full."""

    language = fields.String(required=True, validate=validate.OneOf(LANGUAGES))
    content_sha256 = fields.String(required=True)
    seller_party = fields.Nested(PartyOut, required=True)
    buyer_party = fields.Nested(PartyOut, required=True)
    order_number = fields.String(required=True, allow_none=True)
    cost_centre = fields.String(required=True, allow_none=True)
    lines = fields.List(fields.Nested(InvoiceLineOut), required=True)
    taxes = fields.List(fields.Nested(TaxLineOut), required=True)
    corrected_by = fields.List(fields.UUID(), required=True, metadata={"description": "Of an invoice: its credit notes"})
