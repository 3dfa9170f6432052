"""People: a member's team, our staff and the publishers' people. Who joins gets an invitation and chooses a password."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from flask import current_app
from flask_babel import gettext as _
from itsdangerous import BadData, URLSafeTimedSerializer
from sqlalchemy import Select, func, or_, select
from sqlalchemy.dialects.postgresql import insert

from core import audit, typed
from core.actor import MEMBER_ROLES, ROLES
from core.db import db
from core.errors import Conflict, Invalid, NotFound
from core.ids import new_id
from membership import leaving, passwords
from membership.models import Member, User
from membership.subscription_models import Subscription

INVITATION_DAYS = 7


class EmailTaken(Conflict):
    """Somebody, of this member or another one, signs in with this address."""

    code = "email_taken"


class LastOwner(Conflict):
    """A member without an owner could never invite anybody again."""

    code = "last_owner"


class NoSeatFree(Conflict):
    """Every seat of the subscription is taken."""

    code = "no_seat_free"


class BadInvitation(NotFound):
    """Used, too old, withdrawn, or never ours: no difference to who tries it."""

    code = "bad_invitation"


def create(
    email: str,
    name: str,
    role: str,
    *,
    at: datetime,
    member_id: uuid.UUID | None = None,
    publisher_id: uuid.UUID | None = None,
    password: str | None = None,
    locale: str | None = None,
    external_ref: str | None = None,
) -> User:
    """Make a user; without a password it still has to accept its invitation. Raises Invalid, EmailTaken, WeakPassword."""
    email, name = typed.email(email), name.strip()
    if role not in ROLES:
        raise Invalid(_("Choose a role."), field="role")
    if not name:
        raise Invalid(_("Enter a name."), field="name")
    if "@" not in email.strip("@") or " " in email or len(email) > 200:
        raise Invalid(_("Enter an e-mail address like name@example.com."), field="email")
    made = User(
        id=new_id(),
        email=email,
        name=name,
        role=role,
        password_hash=passwords.hash_password(password) if password else None,
        member_id=member_id,
        publisher_id=publisher_id,
        locale=locale,
        external_ref=external_ref or email,
        seat_subscription_id=None,
        created_at=at,
        disabled_at=None,
    )
    values = {column.key: getattr(made, column.key) for column in User.__table__.columns}
    # A conflict instead of a look first: row-level security hides other members' users, and two invitations may race.
    stored = db.session.scalar(insert(User).values(values).on_conflict_do_nothing(index_elements=["email"]).returning(User))
    if stored is None:
        raise EmailTaken(_("This e-mail address is already in use."), field="email")
    user: User = stored
    return user


def invite(member_id: uuid.UUID, email: str, name: str, role: str, *, at: datetime) -> User:
    """Invite somebody into a member's team. Raises Invalid, EmailTaken."""
    if role not in MEMBER_ROLES:
        raise Invalid(_("Choose a role."), field="role")
    user = create(email, name, role, at=at, member_id=member_id)
    audit.record("user.invite", user.email, at=at, member_id=member_id, after={"role": role})
    return user


def invitation_token(user: User) -> str:
    """The secret part of an invitation link. It works once (while there is no password) and for `INVITATION_DAYS` days."""
    return str(_serializer().dumps(str(user.id)))


def find_invited(token: str) -> tuple[User, Member | None]:
    """Whose invitation this is. Raises BadInvitation."""
    try:
        user_id = uuid.UUID(_serializer().loads(token, max_age=INVITATION_DAYS * 24 * 3600))
    except (BadData, ValueError):
        user_id = None
    row = (
        user_id
        and db.session.execute(
            select(User, Member)
            .outerjoin(Member, Member.id == User.member_id)
            .where(User.id == user_id, User.password_hash.is_(None), User.disabled_at.is_(None), or_(Member.id.is_(None), Member.state == "active"))
            .with_for_update(of=User)
        ).one_or_none()
    )
    if not row:
        raise BadInvitation(_("This invitation was used already or is too old. Ask for a new link."))
    return row[0], row[1]


def accept(token: str, password: str) -> User:
    """Set the password of an invited user, once. Raises BadInvitation, WeakPassword."""
    user, _member = find_invited(token)
    user.password_hash = passwords.hash_password(password)
    return user


def change_password(user_id: uuid.UUID, present: str, wanted: str) -> None:
    """Replace one's own password. Raises Invalid for a wrong present one, WeakPassword."""
    user = db.session.get_one(User, user_id)
    if not passwords.verify(user.password_hash, present):
        raise Invalid(_("This is not your present password."), field="present")
    user.password_hash = passwords.hash_password(wanted)


def team(member_id: uuid.UUID) -> Sequence[User]:
    """A member's users: owners first, then by name; the disabled last."""
    rank = func.array_position(list(MEMBER_ROLES), User.role)
    return db.session.scalars(select(User).where(User.member_id == member_id).order_by(User.disabled_at.is_not(None), rank, User.name, User.id)).all()


def find(member_id: uuid.UUID, user_id: uuid.UUID) -> User:
    """One user of this member, locked. Raises NotFound for anybody else's."""
    found = db.session.scalar(select(User).where(User.id == user_id, User.member_id == member_id).with_for_update())
    if found is None:
        raise NotFound(_("There is no such person in your team."))
    return found


def find_anybody(user_id: uuid.UUID) -> User:
    """One person, whoever it belongs to, locked: for the operator alone. Raises NotFound."""
    found = db.session.scalar(select(User).where(User.id == user_id).with_for_update())
    if found is None:
        raise NotFound(_("There is no such person."))
    return found


def search(word: str, role: str) -> Select[Any]:
    """People by a part of the name or address, and by role; empty means everybody. To be ordered and paged by the caller."""
    statement = select(User)
    if word := word.strip():
        statement = statement.where(or_(User.name.icontains(word, autoescape=True), User.email.icontains(word, autoescape=True)))
    return statement.where(User.role == role) if role else statement


def state(user: User) -> str:
    """Can this person sign in? `active`, `invited` (not accepted yet) or `disabled`."""
    if user.disabled_at is not None:
        return "disabled"
    return "invited" if user.password_hash is None else "active"


def change_role(member_id: uuid.UUID, user_id: uuid.UUID, role: str, *, at: datetime) -> User:
    """Give a user another role in its team. Raises NotFound, Invalid, LastOwner."""
    if role not in MEMBER_ROLES:
        raise Invalid(_("Choose a role."), field="role")
    owners = _owners(member_id)
    user = find(member_id, user_id)
    if role != "owner" and owners == {user.id}:
        raise LastOwner(_("Make somebody else an owner first."), field="role")
    if user.role != role:
        audit.record("user.change_role", user.email, at=at, member_id=member_id, before={"role": user.role}, after={"role": role})
        user.role = role
    return user


def disable(member_id: uuid.UUID, user_id: uuid.UUID, *, at: datetime) -> User:
    """Shut a user out at once and free its seat. Raises NotFound, LastOwner."""
    owners = _owners(member_id)
    user = find(member_id, user_id)
    if owners == {user.id}:
        raise LastOwner(_("Make somebody else an owner first."))
    if user.disabled_at is None:
        user.disabled_at = at
        user.seat_subscription_id = None
        leaving.left(member_id, user_id, at)
        audit.record("user.disable", user.email, at=at, member_id=member_id)
    return user


def enable(member_id: uuid.UUID, user_id: uuid.UUID, *, at: datetime) -> User:
    """Let a disabled user in again. Raises NotFound."""
    user = find(member_id, user_id)
    if user.disabled_at is not None:
        user.disabled_at = None
        audit.record("user.enable", user.email, at=at, member_id=member_id)
    return user


def assign_seat(member_id: uuid.UUID, user_id: uuid.UUID, subscription_id: uuid.UUID) -> User:
    """Give a user a seat of a running subscription, instead of the one it had. Raises NotFound, NoSeatFree, Invalid."""
    subscription = db.session.scalar(
        select(Subscription).where(Subscription.member_id == member_id, Subscription.id == subscription_id, Subscription.state != "ended").with_for_update()
    )
    if subscription is None:
        raise NotFound(_("There is no such running subscription."), field="seat")
    user = find(member_id, user_id)
    if user.disabled_at is not None:
        raise Invalid(_("This person is shut out; let them in first."), field="seat")
    others = select(func.count()).where(User.member_id == member_id, User.seat_subscription_id == subscription_id, User.id != user_id)
    if (db.session.scalar(others) or 0) >= subscription.seats:
        raise NoSeatFree(_("All %(seats)s seats are taken. Release one, or add seats to the subscription.", seats=subscription.seats), field="seat")
    user.seat_subscription_id = subscription_id
    return user


def release_seat(member_id: uuid.UUID, user_id: uuid.UUID) -> User:
    """Take a user's seat back; without one nothing changes. Raises NotFound."""
    user = find(member_id, user_id)
    user.seat_subscription_id = None
    return user


def seats_taken(member_id: uuid.UUID) -> dict[uuid.UUID, int]:
    """How many seats of each subscription are taken."""
    rows = db.session.execute(
        select(User.seat_subscription_id, func.count())
        .where(User.member_id == member_id, User.seat_subscription_id.is_not(None))
        .group_by(User.seat_subscription_id)
    )
    return {row[0]: row[1] for row in rows if row[0]}


def _owners(member_id: uuid.UUID) -> set[uuid.UUID]:
    """The owners who can sign in, locked: two of them must not dismiss each other at once."""
    return set(
        db.session.scalars(
            select(User.id)
            .where(User.member_id == member_id, User.role == "owner", User.disabled_at.is_(None), User.password_hash.is_not(None))
            .order_by(User.id)
            .with_for_update()
        )
    )


def _serializer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(current_app.config["SECRET_KEY"], salt="invitation")
