"""Tables of members, and of the people and machines that act for them or for us."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base


class Member(Base):
    """会员: the subscribing organisation, the tenant."""

    __tablename__ = "member"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    entity_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("legal_entity.id"))
    number: Mapped[str] = mapped_column(unique=True)  # M00001, for people
    name: Mapped[str]
    name_en: Mapped[str | None]
    industry: Mapped[str]
    size: Mapped[str]  # small | medium | large
    sales_cycle: Mapped[str]  # short | long
    channel: Mapped[str]  # direct | agent
    currency: Mapped[str]
    state: Mapped[str]  # active | closed
    csm_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("app_user.id", use_alter=True))
    created_at: Mapped[datetime]
    request_hash: Mapped[bytes | None]  # what it was taken on with, by page or API
    __table_args__ = (Index(None, "csm_id"),)


class User(Base):
    """A person. `role` says what kind: a member's, staff, or a publisher's."""

    __tablename__ = "app_user"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)  # kept in lower case
    name: Mapped[str]
    role: Mapped[str]
    password_hash: Mapped[str | None]  # None until an invitation is accepted
    member_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("member.id"))
    publisher_id: Mapped[uuid.UUID | None]  # a publisher of the store, a room above
    locale: Mapped[str | None]
    external_ref: Mapped[str | None]  # the user's name in behaviour events
    seat_subscription_id: Mapped[uuid.UUID | None]  # the seat this user holds
    created_at: Mapped[datetime]
    disabled_at: Mapped[datetime | None]
    __table_args__ = (
        Index(None, "member_id"),
        UniqueConstraint("member_id", "id"),  # so that a key of another table can name whose it is
        CheckConstraint(
            "(role in ('owner', 'buyer', 'viewer')) = (member_id is not null) and (role = 'publisher') = (publisher_id is not null)",
            name="role_belongs",
        ),
        CheckConstraint("role in ('owner','buyer','viewer','finance','csm','reviewer','operator','publisher')", name="role"),
    )


class UserSession(Base):
    """A signed-in browser; the cookie holds a random token, the table only its SHA-256."""

    __tablename__ = "user_session"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("app_user.id"))
    token_hash: Mapped[bytes] = mapped_column(unique=True)
    user_agent: Mapped[str]
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    __table_args__ = (Index(None, "user_id"),)


class ApiKey(Base):
    """A machine's key: SHA-256 of a long random secret, and a prefix to recognise it by."""

    __tablename__ = "api_key"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    prefix: Mapped[str]
    key_hash: Mapped[bytes] = mapped_column(unique=True)
    name: Mapped[str]
    role: Mapped[str]  # a user role: `buyer` for a customer's machine, `operator` for the vendor's own
    member_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("member.id"))
    publisher_id: Mapped[uuid.UUID | None]  # a publisher of the store, a room above
    created_by: Mapped[uuid.UUID | None]
    created_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    __table_args__ = (
        CheckConstraint("(role = 'publisher') = (publisher_id is not null)", name="publisher"),
        Index(None, "member_id"),
        UniqueConstraint("member_id", "id"),
        Index("api_key_publisher_id_idx", "publisher_id", postgresql_where=text("publisher_id is not null")),
    )
