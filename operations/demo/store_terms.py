"""What the demo store offers besides plain prices: a coupon for newcomers; and who has installed what."""

from datetime import datetime, timedelta

from sqlalchemy import select

from core.db import SYSTEM, db, transaction
from core.ids import derived
from marketplace import coupons, downloads, installs
from marketplace.lifecycle import Quarantined
from marketplace.models import License
from marketplace.pricing import EditionTooLow

COUPON = "WELCOME15"


def offer(since: datetime) -> None:
    """Put the coupon on offer from `since` on, for a member's first purchase."""
    wanted = coupons.Wanted(derived("demo", "coupon", COUPON), COUPON, "CNY", percent_bp=1_500, starts_at=since, most_uses=500, first_only=True)
    coupons.create(wanted, at=since)


def install(until: datetime) -> None:
    """Three of four apps are installed an hour after they were bought, and one in nine is taken out again within three weeks."""
    with transaction(SYSTEM):
        bought = select(License.member_id, License.id, License.starts_at).where(License.is_exclusive, License.state == "active")
        for n, (member_id, license_id, at) in enumerate(db.session.execute(bought.order_by(License.starts_at, License.id)).all()):
            if n % 4 == 3 or at + timedelta(hours=1) > until:
                continue
            try:
                downloads.hand_out(member_id, license_id, at=at + timedelta(hours=1))
            except (Quarantined, EditionTooLow):
                continue  # it happens in life too
            if n % 9 == 0 and at + timedelta(days=20) <= until:
                installs.uninstall(member_id, license_id, at=at + timedelta(days=20), user_id=None)
