"""A small store for the tests of this room: the showcase on sale, members with money and editions."""

import io
import json
import uuid
import zipfile
from datetime import datetime, timedelta

from core.db import SYSTEM, transaction
from core.ids import new_id
from marketplace.order import orders
from marketplace.publisher import publishers
from marketplace.release import bundles, publishing
from marketplace.store.listing_models import Listing
from membership.catalogue_models import Edition, ProductLine
from membership.models import Member
from membership.subscription_models import Subscription
from tests.factories import AT, ENTITY, make_entity

ONE_TIME, FREE, PACK, CRM_ONLY = "order-split-by-region", "clean-phone-numbers", "usage-pack", "quote-document"


def open_store(*slugs: str, at: datetime = AT) -> dict[str, uuid.UUID]:
    """Publishers, product lines, editions and listings (all of the showcase, or these)."""
    make_entity()
    with transaction(SYSTEM) as session:
        for line in ("crm", "ops"):
            session.merge(ProductLine(code=line, name_zh=line.upper(), name_en=line.upper()))
            session.flush()
            for rank in range(1, 5):
                words = {"code": f"e{rank}", "name_zh": f"版本{rank}", "name_en": f"Edition {rank}"}
                session.merge(Edition(product_line=line, rank=rank, **words, features=[f"{line}.f{rank}"], limits={}))
        known = {code: publishers.ensure(code, *words, entity_id=ENTITY, currency="CNY", at=at) for code, words in publishers.SHOWCASE.items()}
        offered = [one for one in bundles.load_showcase() if not slugs or one.slug in slugs]
        return {one.slug: publishing.publish(one, known[one.publisher], at) for one in offered}


def subscribe(member: Member, line: str = "crm", rank: int = 4, at: datetime = AT) -> None:
    """A running subscription, as far as entitlements look at it."""
    with transaction(SYSTEM) as session:
        session.add(
            Subscription(
                member_id=member.id,
                id=new_id(),
                product_line=line,
                rank=rank,
                period="year",
                currency="CNY",
                seats=1,
                state="active",
                term=1,
                anchor_day=1,
                started_at=at,
                term_start=at,
                term_end=at + timedelta(days=365),
                term_price_minor=0,
                cancel_at_term_end=False,
                next_rank=None,
                next_seats=None,
                ended_at=None,
                deployment="saas",
                licensing="rental",
                next_attempt_at=None,
                failed_attempts=0,
            )
        )


def price_of(slug: str) -> int:
    with transaction(SYSTEM) as session:
        return session.query(Listing).filter_by(slug=slug).one().price_minor


def buy(member: Member, slug: str, at: datetime = AT, quantity: int = 1) -> uuid.UUID:
    """Buy; returns the licence's id."""
    wanted = orders.Wanted(new_id(), price_of(slug), quantity)
    with transaction(acting_for(member)):
        return orders.place(member.id, slug, wanted, at=at).license_id


def acting_for(member: Member):
    from core.actor import Actor

    return Actor(kind="member", role="buyer", member_id=member.id)


def repack(content: bytes, version: str, **manifest: object) -> bytes:
    """The same bundle under another version, with some of its manifest changed."""
    return zip_of({**unzip(content), "manifest.json": json.dumps({**json.loads(unzip(content)["manifest.json"]), "version": version, **manifest}).encode()})


def unzip(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zip_of(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, date_time=(2026, 1, 1, 0, 0, 0)), data)  # the same bytes whenever it is made
    return buffer.getvalue()


def set_listing(slug: str, **changes: object) -> None:
    """Change a listing as staff would: every change counts its revision up."""
    with transaction(SYSTEM) as session:
        listing = session.query(Listing).filter_by(slug=slug).one()
        for name, value in changes.items():
            setattr(listing, name, value)
        listing.revision += 1
