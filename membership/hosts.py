"""Which version of each product a member's host runs: what its own system reported or staff entered, else the vendor's current release.

Versions are release numbers (`3.2`, `3.2.1`), compared as PEP 440 says; apps declare the versions they work with as a specifier (`>=3.2,<4`).
"""

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from time import monotonic

from flask_babel import gettext as _
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version
from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert

from core.db import db
from core.errors import Invalid, NotFound
from core.memory import Memory
from membership.catalogue_models import HostVersion, ProductLine

TTL_S = 5.0  # how long a process believes what it knows of releases (as with API keys, decision 0006)
RELEASE = re.compile(r"\d{1,6}(\.\d{1,6}){0,3}", re.ASCII)
SPECIFIER = re.compile(r"[0-9.<>=!~*, ]{2,100}")
AT_LEAST = (">=", ">", "~=", "==")  # clauses that an older version than theirs does not meet


_memory = Memory[Mapping[str, str]](TTL_S, dict)  # the current releases as this process saw them last


@dataclass(frozen=True, slots=True)
class Host:
    """What a member runs of one product line. `source`: reported | entered, or None where it is the current release."""

    line: ProductLine
    version: str
    source: str | None
    at: datetime | None


def checked(version: str) -> str:
    """The version, without spaces around it. Raises Invalid for what is no release number."""
    plain = version.strip()
    if RELEASE.fullmatch(plain) is None:
        raise Invalid(_("Enter a version such as 3.2 or 3.2.1."), field="version")
    return plain


def record(member_id: uuid.UUID, line: str, version: str, source: str, *, at: datetime) -> HostVersion:
    """Keep what a member's host runs. Raises Invalid, NotFound."""
    if db.session.get(ProductLine, line) is None:
        raise NotFound(_("There is no such product."), field="product_line")
    values = {"version": checked(version), "source": source, "at": at}
    new = insert(HostVersion).values(member_id=member_id, product_line=line, **values)
    db.session.execute(new.on_conflict_do_update(index_elements=["member_id", "product_line"], set_=values))
    return db.session.get_one(HostVersion, (member_id, line), populate_existing=True)


def forget(member_id: uuid.UUID, line: str) -> None:
    """The member runs the current release from now on, whatever that is."""
    db.session.execute(delete(HostVersion).where(HostVersion.member_id == member_id, HostVersion.product_line == line))


def of_member(member_id: uuid.UUID) -> Sequence[Host]:
    """What a member runs, of every product line."""
    own = (HostVersion.product_line == ProductLine.code) & (HostVersion.member_id == member_id)
    rows = db.session.execute(select(ProductLine, HostVersion).outerjoin(HostVersion, own).order_by(ProductLine.code)).all()
    return [Host(line, host.version if host else line.release, host.source if host else None, host.at if host else None) for line, host in rows]


def release(line: str, version: str) -> tuple[str, ProductLine]:
    """Make a version the current release of a product line: members run it unless theirs is known to be another. Returns the one before, and the line.

    Raises Invalid, NotFound.
    """
    found = db.session.get(ProductLine, line, with_for_update=True)
    if found is None:
        raise NotFound(_("There is no such product."), field="product_line")
    before, found.release = found.release, checked(version)
    db.session.flush()
    return before, found


def fits_releases(line: str | None, specifier: str | None) -> bool:
    """Does it work with the current release of the line (without one: of every line), as far as this process knows without asking?

    False where it does not, and where what is known is too old to be believed: whoever asks the database then looks again (`refresh`).
    """
    if specifier is None:
        return True
    known = _memory.believed()
    if known is None:
        return False
    wanted = known.values() if line is None else [known[line]] if line in known else []
    return bool(wanted) and all(fits(version, specifier) for version in wanted)


def is_due() -> bool:
    """Is it time to look the current releases up again?"""
    return _memory.is_due()


def takes_turn() -> bool:
    """Is it time to look them up again, and this thread the one that does?"""
    return _memory.takes_turn()


def refresh(*, early: bool = False) -> None:
    """Look the current releases up again, where what is known is too old to be believed, or `early`."""
    if not early and _memory.believed() is not None:
        return
    at = monotonic()
    _memory.keep({row[0]: row[1] for row in db.session.execute(select(ProductLine.code, ProductLine.release))}, at)


def forget_all() -> None:
    """Drop what is remembered (for tests)."""
    _memory.forget()


@lru_cache(maxsize=4096)
def fits(version: str, specifier: str) -> bool:
    """Is this version among those that an app works with?"""
    return SpecifierSet(specifier).contains(version)


@lru_cache(maxsize=4096)
def is_older(version: str, specifier: str) -> bool:
    """Of a version that does not fit: is it too old (or else too new)?"""
    return any(clause.operator in AT_LEAST and Version(version) < Version(clause.version.removesuffix(".*")) for clause in SpecifierSet(specifier))


def is_specifier(text: str) -> bool:
    """Can this be read as versions that an app works with, and is there any such version?"""
    try:
        return SPECIFIER.fullmatch(text) is not None and "===" not in text and not SpecifierSet(text).is_unsatisfiable()
    except InvalidSpecifier:
        return False


def in_words(specifier: str) -> str:
    """A specifier for people: “1.2 or newer, below 2.0”; what is rarer as it is written."""
    clauses = {clause.operator: clause.version for clause in SpecifierSet(specifier)}
    low, high = clauses.get(">="), clauses.get("<")
    if set(clauses) == {">=", "<"}:
        return str(_("%(low)s or newer, below %(high)s", low=low, high=high))
    if set(clauses) == {">="}:
        return str(_("%(low)s or newer", low=low))
    return str(_("below %(high)s", high=high)) if set(clauses) == {"<"} else specifier
