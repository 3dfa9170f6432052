"""What the demo store offers besides plain prices: a coupon for newcomers."""

from datetime import datetime

from core.ids import derived
from marketplace import coupons

COUPON = "WELCOME15"


def offer(since: datetime) -> None:
    """Put the coupon on offer from `since` on, for a member's first purchase."""
    wanted = coupons.Wanted(derived("demo", "coupon", COUPON), COUPON, "CNY", percent_bp=1_500, starts_at=since, most_uses=500, first_only=True)
    coupons.create(wanted, at=since)
