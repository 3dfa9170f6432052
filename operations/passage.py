"""What time brings about in member operations, for a demo's moving clock."""

from datetime import datetime

from core.db import SYSTEM, transaction
from core.passage import Step
from operations import offers


def expire_offers(at: datetime) -> int:
    """Close offers past their date; returns the number."""
    with transaction(SYSTEM):
        return offers.expire(at=at)


OFFERS = Step("expiry of offers", "select min(expires_at) from offer where state = 'sent'", expire_offers)
