"""Identifiers: made by the client, or derived from what they stand for; never guessed from the clock."""

import hashlib
import json
import uuid
from typing import Any

from uuid_utils.compat import uuid7

_NAMESPACE = uuid.UUID("6f1d9a52-0d6c-4f0e-9a0e-6d656d626572")


def new_id() -> uuid.UUID:
    """A fresh UUIDv7 (RFC 9562)."""
    return uuid7()


def derived(*parts: object) -> uuid.UUID:
    """The same id for the same parts: uuid5, so that doing a thing twice names it the same."""
    return uuid.uuid5(_NAMESPACE, "\x1f".join(str(part) for part in parts))


def named(*parts: object) -> uuid.UUID:
    """The same, for ids that SQL makes too (`named_id` of migrations/sql/0240_renewal_terms.sql): MD5, which PostgreSQL has without an extension."""
    return uuid.UUID(hashlib.md5(":".join(str(part) for part in parts).encode(), usedforsecurity=False).hexdigest())


def request_hash(route: str, **deciding: Any) -> bytes:
    """SHA-256 over everything that decides a request's outcome; stored with the id to tell a replay from a reuse."""
    canonical = json.dumps([route, deciding], sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).digest()
