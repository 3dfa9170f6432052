"""What the demo store offers besides plain prices: a coupon for newcomers; who holds which seats, and who has installed what."""

from datetime import datetime, timedelta

from sqlalchemy import select

from core.db import SYSTEM, db, transaction
from core.ids import derived
from marketplace.license import downloads, installs
from marketplace.license.license_models import License
from marketplace.order import coupons
from marketplace.publisher import publishers
from marketplace.publisher.publisher_models import Publisher
from marketplace.release import publishing, term_sheets
from marketplace.release.lifecycle import Quarantined
from marketplace.seat import seats
from marketplace.store import search_terms
from marketplace.store.compatibility import Incompatible
from marketplace.store.listing_models import Listing
from membership.models import User

COUPON = "WELCOME15"
BUNDLE = ("sales-starter", "销售起步套装", "Sales starter bundle", 399_00, ("merge-duplicate-contacts", "quote-document", "sales-funnel-sheet"))


def offer(since: datetime) -> None:
    """Put the coupon on offer from `since` on, for a member's first purchase."""
    wanted = coupons.Wanted(derived("demo", "coupon", COUPON), COUPON, "CNY", percent_bp=1_500, starts_at=since, most_uses=500, first_only=True)
    coupons.create(wanted, at=since)


def bundle(at: datetime) -> None:
    """Offer three listings of ours as one."""
    slug, name_zh, name_en, price, parts = BUNDLE
    seller = db.session.scalars(select(Publisher).where(Publisher.code == publishers.VENDOR)).one()
    texts = {
        "summary_zh": "合并重复联系人、报价单和销售漏斗表，一次买齐更省。", "summary_en": "Merged contacts, quotes and the sales funnel, cheaper together.",
        "description_zh": "适合刚开始使用客户云的销售团队：先清理联系人，再用统一的报价单报价，每周用漏斗表跟进。各应用分别授权、分别更新。",
        "description_en": "For sales teams that begin with Customer Cloud: clean the contacts, quote in one form, follow the funnel each week.",
    }  # fmt: skip
    made = Listing(
        id=derived("listing", slug), slug=slug, publisher_id=seller.id, kind="bundle", category="sales", name_zh=name_zh, name_en=name_en, state="published",
        revision=1, pricing="one_time", period=None, currency="CNY", price_minor=price, tax_rate_bp=None, bonus_limit_bp=10_000, is_repeatable=False,
        product_line="crm", required_rank=1, required_features=[], minutes_saved=0, automates={"steps": []}, rating_sum=0, rating_count=0, published_at=at,
        updated_at=at, **texts,
    )  # fmt: skip
    db.session.add(made)
    db.session.flush()
    term_sheets.put_together(made, parts)
    publishing.release_terms(made, at)
    search_terms.make_findable(made, seller)
    db.session.flush()


def give_seats(until: datetime) -> None:
    """Of what is licensed by seats, all but one seat is given to the team an hour after the purchase; the demo's viewer is left to ask for one."""
    with transaction(SYSTEM) as session:
        bought = session.scalars(select(License).where(License.seats.is_not(None), License.state == "active").order_by(License.starts_at, License.id)).all()
        for license in bought:
            team = select(User.id).where(User.member_id == license.member_id, User.disabled_at.is_(None), User.email != "viewer@demo.example")
            for user_id in session.scalars(team.order_by(User.external_ref).limit((license.seats or 1) - 1)).all():
                at = min(license.starts_at + timedelta(hours=1), until)
                seats.assign(license.member_id, license.id, user_id, at=at, by=None)


def install(until: datetime) -> None:
    """Three of four apps are installed an hour after they were bought, and one in nine is taken out again within three weeks."""
    with transaction(SYSTEM):
        bought = select(License.member_id, License.id, License.starts_at).where(License.is_exclusive, License.state == "active")
        for n, (member_id, license_id, at) in enumerate(db.session.execute(bought.order_by(License.starts_at, License.id)).all()):
            if n % 4 == 3 or at + timedelta(hours=1) > until:
                continue
            try:
                downloads.hand_out(member_id, license_id, at=at + timedelta(hours=1))
            except (Quarantined, Incompatible):
                continue  # it happens in life too
            if n % 9 == 0 and at + timedelta(days=20) <= until:
                installs.uninstall(member_id, license_id, at=at + timedelta(days=20), user_id=None)
