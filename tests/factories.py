"""Small worlds for tests, made through the product's own functions where there are any."""

import uuid
from datetime import UTC, datetime, timedelta

from billing.top_up.top_up_models import TopUpOffer, TopUpTier
from billing.wallet import wallets
from core.db import SYSTEM, transaction
from core.ids import new_id, request_hash
from membership.entity_models import LegalEntity
from membership.models import Member, User

AT = datetime(2026, 6, 15, 4, 0, tzinfo=UTC)
ENTITY = uuid.UUID(int=1)


def make_entity() -> uuid.UUID:
    """The one legal entity, made when first asked for, with its house book."""
    with transaction(SYSTEM) as session:
        if session.get(LegalEntity, ENTITY) is None:
            session.add(LegalEntity(id=ENTITY, name="示例软件有限公司", currency="CNY", timezone="Asia/Shanghai", tax_rate_bp=600))
            session.flush()
            wallets.open_book(ENTITY, "house", ENTITY, "CNY", AT)
    return ENTITY


def make_member(*, paid: int = 0, bonus: int = 0, name: str = "测试会员", bonus_expires_at: datetime | None = None, at: datetime = AT) -> Member:
    """A member with its book, wallet and (optionally) one top-up of `paid` with `bonus`, in minor units."""
    make_entity()
    member = Member(
        id=new_id(),
        entity_id=ENTITY,
        number=f"M{uuid.uuid4().hex[:8]}",
        name=name,
        name_en="Test member",
        industry="retail",
        size="small",
        sales_cycle="short",
        channel="direct",
        currency="CNY",
        state="active",
        csm_id=None,
        created_at=at - timedelta(days=400),
    )
    with transaction(SYSTEM) as session:
        session.add(member)
        session.flush()
        wallets.open_book(member.id, "member", ENTITY, "CNY", at - timedelta(days=400))
        if paid or bonus:
            wallets.credit(
                wallets.Credit(
                    member.id, new_id(), request_hash("test"), "opening_balance", "CNY", at - timedelta(days=1), paid, bonus, bonus_expires_at=bonus_expires_at
                )
            )
    return member


def make_user(role: str, member: Member | None = None, *, name: str = "", publisher_id: uuid.UUID | None = None, password_hash: str | None = None) -> User:
    """A user of a role; staff have no member."""
    user = User(
        id=new_id(),
        email=f"{role}-{uuid.uuid4().hex[:8]}@example.com",
        name=name or role.title(),
        role=role,
        password_hash=password_hash,
        member_id=member.id if member else None,
        publisher_id=publisher_id,
        locale=None,
        external_ref=None,
        seat_subscription_id=None,
        created_at=AT,
        disabled_at=None,
    )
    with transaction(SYSTEM) as session:
        session.add(user)
    return user


def make_top_up_offer(*tiers: tuple[int, int], starts_at: datetime, ends_at: datetime | None = None, **more: object) -> TopUpOffer:
    """An offer of tiers (from, bonus) in minor units, whose bonus lives 90 days."""
    values = {"name_zh": "开门红", "name_en": "Good start", "bonus_days": 90, "priority": 0, "first_only": False} | more
    with transaction(SYSTEM) as session:
        made = TopUpOffer(id=new_id(), currency="CNY", starts_at=starts_at, ends_at=ends_at, created_by=None, created_at=starts_at, **values)
        session.add(made)
        session.flush()
        session.add_all(TopUpTier(offer_id=made.id, from_minor=from_minor, bonus_minor=bonus_minor) for from_minor, bonus_minor in tiers)
    return made
