"""Whom a member's documents are made out to: title, tax number, address, language. Every change is kept; documents made before keep what they say."""

import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from flask_babel import gettext as _
from sqlalchemy import select
from stdnum import get_cc_module
from stdnum.exceptions import ValidationError as WrongNumber

from billing.document.document_models import BillingDetails
from core.actor import Actor
from core.db import db
from core.errors import Conflict, Invalid
from membership.models import Member

COUNTRIES = (
    "CN", "HK", "TW", "SG", "MY", "JP", "KR", "IN", "AU", "NZ", "GB", "US", "CA", "DE", "FR", "NL", "BE", "LU", "AT", "CH", "IT", "ES", "PT", "IE", "SE", "DK",
    "FI", "NO", "PL", "CZ", "BR", "MX", "ZA",
)  # fmt: skip
NUMBERS = ("vat", "uscc", "businessid", "uen")  # what a company's tax number is called in python-stdnum


class WrongTaxNumber(Invalid):
    """The number's own check digit says that it was mistyped."""

    code = "wrong_tax_number"


class ChangedMeanwhile(Conflict):
    """Somebody else has changed the details since they were shown."""

    code = "changed_meanwhile"


@dataclass(frozen=True, slots=True)
class Details:
    """What a member says of itself for its documents."""

    title: str
    tax_number: str | None = None
    country: str = "CN"
    address: str | None = None
    phone: str | None = None
    email: str | None = None
    language: str = "zh"
    invoice_grouping: str | None = None  # charge | month; None: as the seller does
    order_number: str | None = None
    cost_centre: str | None = None


def history(member_id: uuid.UUID) -> Sequence[BillingDetails]:
    """Every version, the present one first."""
    return db.session.scalars(select(BillingDetails).where(BillingDetails.member_id == member_id).order_by(BillingDetails.version.desc())).all()


def present(member: Member) -> tuple[Details, int]:
    """What holds now, and its version: 0 while nothing was entered, and the member's name is the title."""
    known = history(member.id)
    if not known:
        return Details(member.name), 0
    return Details(**{name: getattr(known[0], name) for name in Details.__slots__}), known[0].version


def save(member: Member, wanted: Details, version: int, acting: Actor, *, at: datetime) -> bool:
    """Let other details hold from now on; False when they are the same. Raises WrongTaxNumber, ChangedMeanwhile."""
    before, now_version = present(member)
    if version != now_version:
        raise ChangedMeanwhile(_("Somebody else has changed these details since you opened the page. Look at them and save again."))
    checked = wanted if wanted.tax_number is None else Details(**{**asdict(wanted), "tax_number": checked_number(wanted.country, wanted.tax_number)})
    if checked == before and version:
        return False
    db.session.add(
        BillingDetails(
            member_id=member.id, version=version + 1, set_at=at, set_by=acting.user_id or acting.api_key_id, set_by_name=acting.name, **asdict(checked)
        )
    )
    db.session.flush()
    return True


def checked_number(country: str, written: str) -> str:
    """The tax number as it is written officially. Raises WrongTaxNumber where the country's rule says no; other countries' numbers are taken as they are."""
    rule = next((module for name in NUMBERS if (module := get_cc_module(country, name))), None)
    if rule is None:
        return written.strip()
    try:
        return str(rule.validate(written))
    except WrongNumber as error:
        raise WrongTaxNumber(_("This tax number cannot be right: check it for a typing mistake."), field="tax_number") from error
