"""Forms of what services and bundles offer: words, milestones row by row, or parts and a price."""

import re
from collections.abc import Mapping
from typing import Any

from flask import current_app
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from marshmallow import Schema, ValidationError, fields, pre_load, validate, validates

from billing.wallet.wallet_schemas import Money
from core.schemas import Form
from core.settings import Settings
from marketplace.publisher.draft_schemas import ListingDraftIn
from marketplace.release.term_sheets import WORDS
from marketplace.service.service_offerings import MOST_MILESTONES

ROW = re.compile(r"step_(?:zh|en|amount|days)_([0-9]{1,3})\Z")
COLUMNS = {"zh": "name_zh", "en": "name_en", "amount": "amount_minor", "days": "days"}  # of a row → of a milestone
BLANK = dict.fromkeys(COLUMNS, "")
OF_APPS = tuple(sorted(set(ListingDraftIn._declared_fields) - {"slug", *WORDS}))  # what neither a service nor a bundle is asked
Row = dict[str, str]


def rows_of(form: Mapping[str, str]) -> list[Row]:
    """The rows of milestones as they were sent, in their order."""
    numbers = sorted({int(found[1]) for key in form if (found := ROW.fullmatch(key))})[: MOST_MILESTONES + 1]
    return [{column: form.get(f"step_{column}_{n}", "").strip() for column in COLUMNS} for n in numbers]


def is_blank(row: Row) -> bool:
    """Nothing was written into it."""
    return not any(row.values())


class MilestoneForm(Schema):
    """A row: names, an amount in major units, days."""

    name_zh = fields.String(required=True, validate=validate.Length(2, 60, error=_l("2 to 60 characters.")))
    name_en = fields.String(required=True, validate=validate.Length(2, 120, error=_l("2 to 120 characters.")))
    amount_minor = Money(required=True)
    days = fields.Integer(required=True, error_messages={"invalid": _l("Enter a number of days.")})

    @validates("days")
    def _in_time(self, value: int, **_kwargs: Any) -> None:
        settings: Settings = current_app.extensions["settings"]
        if not 1 <= value <= settings.service_days:
            raise ValidationError(_("Enter 1 to %(most)s days.", most=settings.service_days))


class TermsForm(ListingDraftIn, Form):
    """The words of a service or a bundle, and what is new about them."""

    class Meta(Form.Meta):
        exclude = OF_APPS

    notes_zh = fields.String(load_default="", validate=validate.Length(max=2000, error=_l("At most 2,000 characters.")))
    notes_en = fields.String(load_default="", validate=validate.Length(max=2000, error=_l("At most 2,000 characters.")))

    @pre_load
    def _stripped(self, data: Any, **_kwargs: Any) -> dict[str, Any]:
        return {key: value.strip() if isinstance(value, str) else value for key, value in data.items()}


class BundleTermsForm(TermsForm):
    """What a bundle offers: its parts by their names in the address, and its price."""

    price = Money(required=True)
    parts = fields.List(fields.String(validate=validate.Length(max=60)), required=True, error_messages={"required": _l("Choose the listings.")})


class ServiceTermsForm(TermsForm):
    """What a service offers: its price is the sum of its milestones."""

    milestones = fields.List(
        fields.Nested(MilestoneForm),
        required=True,
        validate=validate.Length(1, MOST_MILESTONES, error=_l("A service has 1 to %(most)s milestones.", most=MOST_MILESTONES)),
    )
