"""Telling those who hold an app what became of it: quarantine and its end, a version withdrawn, a listing deprecated."""

import uuid
from datetime import datetime

from sqlalchemy import or_, select
from sqlalchemy.orm import defer

from core import outbox
from core.db import db
from marketplace.license.license_models import License
from marketplace.store.listing_models import Listing
from membership import notices

TOPIC = "app.stepped"
KINDS = {"quarantine": "app_quarantined", "lift": "app_lifted", "yank": "app_withdrawn", "deprecate": "app_deprecated"}


def publish(listing: Listing, number: str | None, action: str, reason: str, *, at: datetime) -> None:
    """Say that a step was taken which holders should know of; they are told after the commit, however many they are."""
    if action in KINDS:
        payload = {"listing_id": str(listing.id), "number": number, "action": action, "reason": reason}
        outbox.publish(TOPIC, payload, at=at)


def tell(message: outbox.OutboxMessage) -> None:
    """Subscriber of `app.stepped`. A withdrawn version concerns those who bought or installed it; the rest concerns every holder. Twice is as good as once."""
    told = message.payload
    listing = db.session.get(Listing, uuid.UUID(told["listing_id"]), options=[defer(Listing.search)])
    assert listing is not None
    holders = select(License.member_id).where(License.listing_id == listing.id, License.state.in_(("active", "trial"))).distinct()
    if told["action"] == "yank":
        holders = holders.where(or_(License.version == told["number"], License.installed_version == told["number"]))
    details = {"name_zh": listing.name_zh, "name_en": listing.name_en, "version": told["number"], "reason": told["reason"]}
    for member_id in db.session.scalars(holders).all():
        notices.tell(member_id, KINDS[told["action"]], details, at=message.at, key=f"app:{message.id}")
