"""What members of the demo made of their apps: a mail in own words, for which a new version of the publisher is waiting; and hosts of their own."""

from datetime import datetime, timedelta

from sqlalchemy import select

from core.db import SYSTEM, db, transaction
from marketplace.copy import copies
from marketplace.copy.merging import Outcome
from marketplace.license import downloads, licenses
from marketplace.license.license_models import License
from marketplace.publisher.publisher_models import Publisher
from marketplace.release import bundles, publishing
from marketplace.store.listing_models import Listing
from membership import hosts
from membership.models import Member, User
from membership.subscription_models import Subscription

NUMBER, SLUG, ENTRY = "M00001", "renewal-reminder-mail", "mail.txt.j2"
WORDS = (  # theirs, mine
    ("含税 {{ yuan(plan.price_minor) }}。", "含税 {{ yuan(plan.price_minor) }}，可开具专用发票。"),
    ("{{ contact }}，您好！", "尊敬的{{ contact }}：\n\n您好！感谢一年来的信任。"),
    ("{{ csm.name }}　{{ csm.phone }}", "{{ csm.name }}　{{ csm.phone }}\n服务热线 400-820-0000，工作日 9:00–18:00"),
)
BEHIND = "1.5"  # what every ninth subscriber's own host of the CRM still runs


def edited(theirs: str) -> str:
    """The publisher's mail in the member's words."""
    for before, after in WORDS:
        assert before in theirs, before
        theirs = theirs.replace(before, after, 1)
    return theirs


def play(until: datetime) -> None:
    """Twelve days ago a mail was edited, five days ago its publisher released another version; some hosts have said which version they run."""
    with transaction(SYSTEM) as session:
        member = session.scalars(select(Member).where(Member.number == NUMBER)).one()
        found = select(License).join(Listing, Listing.id == License.listing_id).where(License.member_id == member.id, Listing.slug == SLUG)
        license = session.scalars(found).one_or_none()
        if license is not None:
            if license.installed_version is None:
                downloads.hand_out(member.id, license.id, at=until - timedelta(days=13))
            copy = copies.of(licenses.owned(member.id, license.id))
            owner = session.scalars(select(User).where(User.member_id == member.id, User.role == "owner").order_by(User.email).limit(1)).one()
            by = copies.Writer(until - timedelta(days=12), owner.id, owner.name)
            text = edited(copies.theirs(copy.version)[ENTRY].decode())
            copies.write(license, copy.version, [Outcome("edit", ENTRY, text.encode())], by)
        for update in bundles.load_updates():
            publishing.publish(update, session.scalars(select(Publisher).where(Publisher.code == update.publisher)).one(), until - timedelta(days=5))
        _report(until)


def _report(until: datetime) -> None:
    running = select(Subscription.member_id).where(Subscription.product_line == "crm", Subscription.state == "active").order_by(Subscription.member_id)
    for n, member_id in enumerate(db.session.scalars(running).all()):
        if n % 9 == 8:
            hosts.record(member_id, "crm", BEHIND, "reported", at=until - timedelta(days=n % 60 + 1))
