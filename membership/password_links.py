"""Links with which a person who forgot its password sets a new one: signed, not stored, as invitations are (decisions 0007 and 0069)."""

import hashlib
import uuid
from datetime import datetime

from flask import current_app
from flask_babel import gettext as _
from itsdangerous import BadData, URLSafeTimedSerializer
from sqlalchemy import or_, select

from core import audit
from core.actor import Actor, actor, kind_of
from core.db import db
from core.errors import Conflict, NotFound
from membership import passwords, sessions, users
from membership.models import Member, User

HOURS = 24


class NoPasswordLink(Conflict):
    """A link for a new password is not what this person needs."""

    code = "no_password_link"


class BadPasswordLink(NotFound):
    """Used, too old, overtaken by another password, or never ours: no difference to who tries it."""

    code = "bad_password_link"


def make(user: User, *, at: datetime) -> str:
    """The secret part of a link for somebody else; who asks for it is on record. It works once, for `HOURS`, while the password is what it is now.

    Raises NoPasswordLink.
    """
    state = users.state(user)
    if state == "disabled":
        raise NoPasswordLink(_("This person is shut out; let them in first."))
    if state == "invited":
        raise NoPasswordLink(_("This person has no password yet: the invitation link sets the first one."))
    if user.id == actor().user_id:
        raise NoPasswordLink(_("Your own password is changed in your settings."))
    audit.record("user.password_link", user.email, at=at, member_id=user.member_id)
    return str(_serializer().dumps([str(user.id), _mark_of(user)]))


def find(token: str) -> User:
    """Whose link this is, locked. Raises BadPasswordLink."""
    try:
        written, mark = _serializer().loads(token, max_age=HOURS * 3600)
        user_id = uuid.UUID(written)
    except (BadData, ValueError):
        user_id, mark = None, None
    user = user_id and db.session.scalar(
        select(User)
        .outerjoin(Member, Member.id == User.member_id)
        .where(User.id == user_id, User.password_hash.is_not(None), User.disabled_at.is_(None), or_(Member.id.is_(None), Member.state == "active"))
        .with_for_update(of=User)
    )
    if not user or mark != _mark_of(user):
        raise BadPasswordLink(_("This link was used already or is too old. Ask for a new one."))
    return user


def use(token: str, password: str, *, at: datetime, real_at: datetime) -> User:
    """Set the new password and end every session of the person. `real_at` is the wall clock's. Raises BadPasswordLink, WeakPassword."""
    user = find(token)
    user.password_hash = passwords.hash_password(password)
    sessions.revoke_all(user.id, at=real_at)
    person = Actor(kind=kind_of(user.role), role=user.role, name=user.name, user_id=user.id, member_id=user.member_id)
    audit.record("user.password_set", user.email, at=at, member_id=user.member_id, by=person)
    return user


def _mark_of(user: User) -> str:
    """What changes with the password and tells nothing of it: its hash is salted with 128 random bits."""
    return hashlib.sha256((user.password_hash or "").encode()).hexdigest()[:16]


def _serializer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(current_app.config["SECRET_KEY"], salt="new password")
