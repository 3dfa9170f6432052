"""What members say and what waits for them: reviews by buyers, and open offers."""

import random
from datetime import datetime, timedelta

from sqlalchemy import select

from core.actor import SYSTEM, Actor
from core.db import transaction
from core.errors import AppError
from core.ids import derived
from marketplace.license.license_models import License
from marketplace.store import reviews
from marketplace.store.listing_models import Listing
from operations import offers
from operations.demo.cast import Cast

WORDS = {
    5: ["每天省下一个多小时，团队都在用。", "装上就能用，输出和样例一致。", "客户经理推荐的，确实解决了重复劳动。"],
    4: ["好用，说明再细一点更好。", "效果不错，字段映射要自己调一下。"],
    3: ["能用，但我们的表格格式需要先整理。"],
}
REASONS = ["你们每周都在重复这几步，用它一次完成。", "同规模的会员装上后，每月少花十几个小时。", "续费前的报表可以交给它。"]


def talk(rng: random.Random, people: list[Cast], until: datetime) -> None:
    """Some buyers write a review; some members have an offer waiting."""
    names = {one.id: one.company.name for one in people}
    with transaction(SYSTEM) as session:
        owned = session.scalars(select(License).order_by(License.starts_at, License.member_id)).all()
        slugs = session.scalars(select(Listing.slug).where(Listing.slug != "usage-pack").order_by(Listing.slug)).all()
    said = set()
    for licence in owned:
        if rng.random() < 0.35 and (licence.member_id, licence.listing_id) not in said:
            said.add((licence.member_id, licence.listing_id))
            stars = rng.choices([5, 4, 3], [60, 30, 10])[0]
            at = min(licence.starts_at + timedelta(days=rng.randint(2, 30)), until)
            with transaction(Actor(kind="member", role="owner", member_id=licence.member_id)):
                reviews.write(licence, stars, rng.choice(WORDS[stars]), names[licence.member_id], at=at)
    with transaction(SYSTEM):
        reviews.recount_all()
    for one in people[:: max(1, len(people) // 40)]:
        slug = rng.choice(slugs)
        csm = Actor(kind="staff", role="csm", user_id=one.csm_id, name=one.csm_name)
        try:
            with transaction(csm):
                wanted = offers.Wanted(derived("demo", "open-offer", one.number), slug, rng.choice(REASONS))
                offers.send(one.id, wanted, csm, days=30, at=until - timedelta(days=rng.randint(0, 9)))
        except AppError:
            continue  # owned already: nothing to recommend
