"""Keys for machines: a long random secret, of which only the SHA-256 and a prefix are kept."""

import hashlib
import secrets
import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from time import monotonic

from flask_babel import gettext as _
from sqlalchemy import LargeBinary, any_, bindparam, exists, insert, or_, select
from sqlalchemy.dialects.postgresql import ARRAY

from core.actor import MEMBER_ROLES, PUBLISHER_ROLES, Actor, kind_of
from core.db import db
from core.errors import Invalid, NotFound
from core.ids import new_id
from core.memory import Memory
from membership import leaving
from membership.catalogue_models import HostVersion
from membership.models import ApiKey, Member

ROLES = ("owner", "buyer", "viewer", "operator", "finance", "csm")  # what an operator may choose; a publisher's keys are made at its own page
PREFIX_LENGTH = 11  # "jb_" and eight characters: enough to recognise, useless to guess the rest
TTL_S = 5.0  # how long a process believes what it knows of keys, so how late a revocation may take effect (decision 0006)
UNUSED_TURNS = 24  # a key not used for so many looks at the table is forgotten
REMEMBERED_MOST = 20_000


@dataclass(slots=True)
class _Known:
    """A key that was found good."""

    actor: Actor
    used_in: int  # the turn in which it was last used


_lock = threading.Lock()  # of what follows: keys are added one by one
_memory = Memory[dict[bytes, _Known]](TTL_S, dict)


class WrongKeyOwner(Invalid):
    """A member's role without a member, or a vendor's with one."""


def make_secret() -> str:
    """A new key: 256 random bits."""
    return "jb_" + secrets.token_urlsafe(32)


def hash_key(secret: str) -> bytes:
    """What the table keeps of a key."""
    return hashlib.sha256(secret.encode()).digest()


def create(
    name: str, role: str, member_id: uuid.UUID | None, *, at: datetime, created_by: uuid.UUID | None = None, publisher_id: uuid.UUID | None = None
) -> tuple[ApiKey, str]:
    """Make a key; the second value is the secret, which nobody can be shown again. Raises Invalid, NotFound."""
    if role not in (ROLES if publisher_id is None else PUBLISHER_ROLES):
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
        publisher_id=publisher_id,
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
            "publisher_id": None,
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
    if key.member_id is not None:
        leaving.left(key.member_id, key.id, at)
    with _lock:
        _memory.last.pop(key.key_hash, None)
    return key


def identify(key_hash: bytes) -> Actor | None:
    """The actor of a key, or None when the key is unknown or revoked, or its member closed; good keys are remembered.

    One query, which where it is time looks up again all keys in use: a thousand busy keys cost a query every few seconds, not a thousand.
    Guessing cannot fill the memory, since only good keys are remembered.
    """
    at = monotonic()
    with _lock:
        looks_at_all = _memory.is_old(at)
        due = [known_hash for known_hash, known in _memory.last.items() if known.used_in > _memory.turns - UNUSED_TURNS] if looks_at_all else []
    own_host = exists().where(HostVersion.member_id == ApiKey.member_id)
    rows = db.session.execute(
        select(ApiKey.key_hash, ApiKey.id, ApiKey.name, ApiKey.role, ApiKey.member_id, ApiKey.publisher_id, own_host.label("has_own_host"))
        .outerjoin(Member, Member.id == ApiKey.member_id)
        .where(
            ApiKey.key_hash == any_(bindparam("hashes", [key_hash, *due], ARRAY(LargeBinary))),
            ApiKey.revoked_at.is_(None),
            or_(Member.id.is_(None), Member.state == "active"),
        )
    )
    found = {
        r.key_hash: Actor(
            kind=kind_of(r.role), role=r.role, name=r.name, member_id=r.member_id, publisher_id=r.publisher_id, api_key_id=r.id, has_own_host=r.has_own_host
        )
        for r in rows
    }
    with _lock:
        _keep(found, set(due), key_hash, at if looks_at_all else None)
    return found.get(key_hash)


def _keep(found: dict[bytes, Actor], due: set[bytes], asked: bytes, looked_at: float | None) -> None:
    """Remember good keys; after a look at all of them, what was known before and is not among them is forgotten."""
    before = _memory.last
    if looked_at is not None:
        # What another thread has found in the meantime is good as well.
        keys = {known_hash: known for known_hash, known in before.items() if known_hash not in due and known.used_in == _memory.turns}
        keys.update((known_hash, _Known(actor, before[known_hash].used_in if known_hash in before else _memory.turns)) for known_hash, actor in found.items())
        _memory.keep(keys, looked_at)
    elif asked in found:
        if len(before) >= REMEMBERED_MOST:
            before.clear()
        before[asked] = _Known(found[asked], _memory.turns)


def remembered(key_hash: bytes) -> Actor | None:
    """The actor of a key that was found good less than `TTL_S` seconds ago; None also sends one thread to look again in good time."""
    return None if _memory.takes_turn() else known_good(key_hash)


def known_good(key_hash: bytes) -> Actor | None:
    """As `remembered`, for those who would not look again themselves: it is None to all of them as soon as it is time to."""
    keys = _memory.settled()
    known = keys.get(key_hash) if keys is not None else None
    if known is None:
        return None
    known.used_in = _memory.turns
    return known.actor


def forget_all() -> None:
    """Drop what is remembered (for tests)."""
    _memory.forget()
