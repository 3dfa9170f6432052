"""Keys for machines: a long random secret, of which only the SHA-256 and a prefix are kept."""

import hashlib
import secrets
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from flask_babel import gettext as _
from sqlalchemy import LargeBinary, any_, bindparam, insert, or_, select
from sqlalchemy.dialects.postgresql import ARRAY

from core.actor import MEMBER_ROLES, Actor, kind_of
from core.db import db
from core.errors import Invalid, NotFound
from core.ids import new_id
from membership.models import ApiKey, Member

ROLES = ("owner", "buyer", "viewer", "operator", "finance", "csm")
PREFIX_LENGTH = 11  # "jb_" and eight characters: enough to recognise, useless to guess the rest
TTL_S = 5.0  # how long a process remembers a key, so how late a revocation may take effect (decision 0006)
REMEMBERED_MOST = 20_000


@dataclass(slots=True)
class _Known:
    """A key looked up not long ago."""

    until: float  # on the monotonic clock
    actor: Actor
    is_used: bool = False  # since it was looked up


_remembered: dict[bytes, _Known] = {}
_lock = threading.Lock()


class WrongKeyOwner(Invalid):
    """A member's role without a member, or a vendor's with one."""


def make_secret() -> str:
    """A new key: 256 random bits."""
    return "jb_" + secrets.token_urlsafe(32)


def hash_key(secret: str) -> bytes:
    """What the table keeps of a key."""
    return hashlib.sha256(secret.encode()).digest()


def create(name: str, role: str, member_id: uuid.UUID | None, *, at: datetime, created_by: uuid.UUID | None = None) -> tuple[ApiKey, str]:
    """Make a key; the second value is the secret, which nobody can be shown again. Raises Invalid, NotFound."""
    if role not in ROLES:
        raise Invalid(_("Choose what the key may do."), field="role")
    if (role in MEMBER_ROLES) != (member_id is not None):
        raise WrongKeyOwner(_("A customer's key needs a member; a key of ours has none."), field="member")
    if member_id is not None and db.session.get(Member, member_id) is None:
        raise NotFound(_("There is no such member."), field="member")
    secret = make_secret()
    key = ApiKey(
        id=new_id(),
        prefix=secret[:PREFIX_LENGTH],
        key_hash=hash_key(secret),
        name=name,
        role=role,
        member_id=member_id,
        created_by=created_by,
        created_at=at,
        revoked_at=None,
    )
    db.session.add(key)
    return key, secret


def create_many(owners: Sequence[uuid.UUID], name: str, role: str, *, at: datetime) -> list[str]:
    """One key for each of many members in one statement; the secrets, in the order of the members."""
    made = [(owner, make_secret()) for owner in owners]
    rows = [
        {
            "id": new_id(),
            "prefix": secret[:PREFIX_LENGTH],
            "key_hash": hash_key(secret),
            "name": name,
            "role": role,
            "member_id": owner,
            "created_by": None,
            "created_at": at,
            "revoked_at": None,
        }
        for owner, secret in made
    ]
    if rows:
        db.session.execute(insert(ApiKey), rows)
    return [secret for _owner, secret in made]


def revoke(key_id: uuid.UUID, *, at: datetime) -> ApiKey:
    """End a key; it stops working within `TTL_S` seconds. Raises NotFound."""
    key = db.session.get(ApiKey, key_id)
    if key is None:
        raise NotFound(_("There is no such API key."))
    key.revoked_at = key.revoked_at or at
    with _lock:
        _remembered.pop(key.key_hash, None)
    return key


def identify(key_hash: bytes) -> Actor | None:
    """The actor of a key, or None when the key is unknown or revoked, or its member closed; good keys are remembered.

    One query, which also looks up again the keys in use whose time is nearly over: a thousand busy keys cost a query every few seconds, not a thousand.
    Guessing cannot fill the memory, since only good keys are remembered.
    """
    at = time.monotonic()
    with _lock:
        due = {key_hash} | {known_hash for known_hash, known in _remembered.items() if known.is_used and known.until < at + TTL_S / 2}
        for taken in due & _remembered.keys():
            _remembered[taken].is_used = False  # this thread sees to it
    rows = db.session.execute(
        select(ApiKey.key_hash, ApiKey.id, ApiKey.name, ApiKey.role, ApiKey.member_id)
        .outerjoin(Member, Member.id == ApiKey.member_id)
        .where(
            ApiKey.key_hash == any_(bindparam("hashes", list(due), ARRAY(LargeBinary))),
            ApiKey.revoked_at.is_(None),
            or_(Member.id.is_(None), Member.state == "active"),
        )
    )
    found = {r.key_hash: _Known(at + TTL_S, Actor(kind=kind_of(r.role), role=r.role, name=r.name, member_id=r.member_id, api_key_id=r.id)) for r in rows}
    with _lock:
        if len(_remembered) >= REMEMBERED_MOST:
            _remembered.clear()
        for gone in due - found.keys():
            _remembered.pop(gone, None)
        _remembered.update(found)
    return found[key_hash].actor if key_hash in found else None


def remembered(key_hash: bytes) -> Actor | None:
    """The actor this process looked up less than `TTL_S` seconds ago."""
    known = _remembered.get(key_hash)
    if known is None or known.until <= time.monotonic():
        return None
    known.is_used = True
    return known.actor


def forget_all() -> None:
    """Drop what is remembered (for tests)."""
    with _lock:
        _remembered.clear()
