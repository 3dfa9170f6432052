"""Signed-in browsers. The cookie holds a random token, the table its SHA-256.

Sessions live in real time: the movable business clock does not touch them, so `at` here is the wall clock's.
"""

import hashlib
import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from flask_babel import gettext as _
from sqlalchemy import func, or_, select, update

from core import typed
from core.actor import Actor, kind_of
from core.db import db
from core.errors import NotFound, Unauthenticated
from core.ids import new_id
from membership import passwords
from membership.models import Member, User, UserSession
from membership.notice_models import Notice, PublisherNotice

SLIDE_AFTER = timedelta(minutes=10)  # a session is written at most this often, not on every request
# So that no page pays a query for it.
_UNREAD = (
    select(func.count()).where(Notice.member_id == User.member_id, Notice.read_at.is_(None)).scalar_subquery()
    + select(func.count()).where(PublisherNotice.publisher_id == User.publisher_id, PublisherNotice.read_at.is_(None)).scalar_subquery()
)


class WrongSignIn(Unauthenticated):
    """Deliberately the same for an unknown address, a wrong password and a disabled user."""

    code = "wrong_sign_in"


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who a session belongs to; `is_stale` asks for its expiry to be moved on."""

    actor: Actor
    member_name: str | None
    unread: int  # notices of the member or the publisher
    is_stale: bool


def hash_token(token: str) -> bytes:
    """What the table keeps of a token."""
    return hashlib.sha256(token.encode()).digest()


def sign_in(email: str, password: str, user_agent: str, *, at: datetime, days: int) -> tuple[str, User]:
    """Check a password and open a session; returns its token and the user. Raises WrongSignIn."""
    user = db.session.scalar(
        select(User)
        .outerjoin(Member, Member.id == User.member_id)
        .where(User.email == typed.email(email), User.disabled_at.is_(None), or_(Member.id.is_(None), Member.state == "active"))
    )
    if not passwords.verify(user.password_hash if user else None, password) or user is None or user.password_hash is None:
        raise WrongSignIn(_("The e-mail address or the password is not right."), field="email")
    if passwords.is_outdated(user.password_hash):
        user.password_hash = passwords.hash_password(password)
    return open_session(user.id, user_agent, at=at, days=days), user


def open_session(user_id: uuid.UUID, user_agent: str, *, at: datetime, days: int) -> str:
    """Open a session for a user and return the token for its cookie."""
    token = secrets.token_urlsafe(32)
    db.session.add(
        UserSession(
            id=new_id(),
            user_id=user_id,
            token_hash=hash_token(token),
            user_agent=user_agent[:300],
            created_at=at,
            seen_at=at,
            expires_at=at + timedelta(days=days),
            revoked_at=None,
        )
    )
    return token


def identify(token: str, *, at: datetime) -> SignedIn | None:
    """Whose token this is, or None when the session, the user or the member is out. One query."""
    row = db.session.execute(
        select(UserSession.id, UserSession.seen_at, User.id, User.name, User.role, User.locale, User.member_id, User.publisher_id, Member.name, _UNREAD)
        .join(User, User.id == UserSession.user_id)
        .outerjoin(Member, Member.id == User.member_id)
        .where(
            UserSession.token_hash == hash_token(token),
            UserSession.revoked_at.is_(None),
            UserSession.expires_at > at,
            User.disabled_at.is_(None),
            or_(Member.id.is_(None), Member.state == "active"),
        )
    ).one_or_none()
    if row is None:
        return None
    session_id, seen_at, user_id, name, role, locale, member_id, publisher_id, member_name, unread = row
    acting = Actor(
        kind=kind_of(role), role=role, name=name, user_id=user_id, member_id=member_id, publisher_id=publisher_id, session_id=session_id, locale=locale
    )
    return SignedIn(acting, member_name, unread, at - seen_at > SLIDE_AFTER)


def slide(session_id: uuid.UUID, *, at: datetime, days: int) -> None:
    """Move the expiry on, because the session is in use."""
    db.session.execute(update(UserSession).where(UserSession.id == session_id).values(seen_at=at, expires_at=at + timedelta(days=days)))


def list_open(user_id: uuid.UUID, *, at: datetime) -> Sequence[UserSession]:
    """A user's running sessions, the one seen last first."""
    return db.session.scalars(
        select(UserSession)
        .where(UserSession.user_id == user_id, UserSession.revoked_at.is_(None), UserSession.expires_at > at)
        .order_by(UserSession.seen_at.desc(), UserSession.id)
    ).all()


def revoke(user_id: uuid.UUID, session_id: uuid.UUID, *, at: datetime) -> None:
    """End one session of this user; a second time changes nothing. Raises NotFound for somebody else's."""
    found = db.session.scalar(select(UserSession).where(UserSession.id == session_id, UserSession.user_id == user_id))
    if found is None:
        raise NotFound(_("There is no such session."))
    found.revoked_at = found.revoked_at or at


def revoke_all(user_id: uuid.UUID, *, at: datetime, but: uuid.UUID | None = None) -> None:
    """End every session of a user, except one."""
    ending = update(UserSession).where(UserSession.user_id == user_id, UserSession.revoked_at.is_(None))
    db.session.execute((ending.where(UserSession.id != but) if but else ending).values(revoked_at=at))
