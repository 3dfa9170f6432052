"""Passwords of people: argon2id, and the same time spent whether or not an address is known."""

from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from flask_babel import gettext as _

from core.errors import Invalid

LEAST = 10
MOST = 200  # more would only cost time

_hasher = PasswordHasher()  # RFC 9106, second recommended profile


class WeakPassword(Invalid):
    """Too short, or too long."""

    code = "weak_password"


def hash_password(password: str) -> str:
    """The argon2id hash of a password. Raises WeakPassword when it is too short or too long."""
    if not LEAST <= len(password) <= MOST:
        raise WeakPassword(_("Choose a password of %(least)s to %(most)s characters.", least=LEAST, most=MOST), field="password")
    return _hasher.hash(password)


def verify(password_hash: str | None, password: str) -> bool:
    """Is this the password? An unknown user (`None`) costs as much time as a known one."""
    try:
        _hasher.verify(password_hash or _nobody(), password[:MOST])
    except (VerificationError, InvalidHashError):
        return False
    return password_hash is not None


def is_outdated(password_hash: str) -> bool:
    """Was it made with other parameters than today's?"""
    return _hasher.check_needs_rehash(password_hash)


@cache
def _nobody() -> str:
    return _hasher.hash("nobody has this password")
