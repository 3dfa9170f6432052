"""The records of checks in the database, and the signature over them."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from core.db import db
from core.settings import Settings
from core.texts import is_storable
from marketplace.checks import pipeline, signing
from marketplace.checks.findings import Finding, read
from marketplace.release.lifecycle_models import SigningKey, VersionCheck
from marketplace.release.version_models import ListingVersion


def begin(version: ListingVersion, kind: str) -> int:
    """Lay the rows of a new attempt, all waiting; returns its number."""
    version.attempt += 1
    db.session.flush()
    rows = [_row(version.listing_id, version.number, version.attempt, n, name, pipeline.WAITING) for n, name in enumerate(pipeline.names(kind))]
    db.session.execute(insert(VersionCheck).values(rows))
    return version.attempt


def _row(listing_id: uuid.UUID, number: str, attempt: int, position: int, name: str, state: str) -> dict[str, Any]:
    return {
        "listing_id": listing_id, "number": number, "attempt": attempt, "name": name, "position": position, "state": state, "findings": [], "detail": {},
        "started_at": None, "finished_at": None,
    }  # fmt: skip


def write(listing_id: uuid.UUID, number: str, attempt: int, record: pipeline.Record) -> None:
    """Bring one row up to date."""
    key = (VersionCheck.listing_id == listing_id, VersionCheck.number == number, VersionCheck.attempt == attempt, VersionCheck.name == record.name)
    values = {
        "state": record.state, "findings": [one.stored() for one in record.findings], "detail": storable(record.detail), "started_at": record.started_at,
        "finished_at": record.finished_at,
    }  # fmt: skip
    db.session.execute(update(VersionCheck).where(*key).values(values))


def add_shipped(version: ListingVersion, checks: Sequence[Mapping[str, Any]], at: datetime) -> None:
    """Keep records that came with the bundle."""
    rows = [
        _row(version.listing_id, version.number, version.attempt, n, one["name"], one["state"]) | {"detail": one.get("detail", {}), "finished_at": at}
        for n, one in enumerate(checks)
    ]
    db.session.execute(insert(VersionCheck).values(rows))


def storable(value: Any) -> Any:
    """Foreign texts as the database can keep them."""
    if isinstance(value, str):
        return value if is_storable(value) else value.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")
    if isinstance(value, dict):
        return {storable(key): storable(child) for key, child in value.items()}
    return [storable(child) for child in value] if isinstance(value, list) else value


def of(version: ListingVersion) -> list[VersionCheck]:
    """The records of a version's last attempt, in order."""
    key = (VersionCheck.listing_id == version.listing_id, VersionCheck.number == version.number, VersionCheck.attempt == version.attempt)
    return list(db.session.scalars(select(VersionCheck).where(*key).order_by(VersionCheck.position)))


def of_many(versions: Sequence[ListingVersion]) -> dict[tuple[uuid.UUID, str], list[VersionCheck]]:
    """The records of several versions' last attempts, in one query."""
    last = {(one.listing_id, one.number): one.attempt for one in versions}
    rows = db.session.scalars(select(VersionCheck).where(VersionCheck.listing_id.in_({key[0] for key in last})).order_by(VersionCheck.position))
    found: dict[tuple[uuid.UUID, str], list[VersionCheck]] = {key: [] for key in last}
    for row in rows:
        if last.get((row.listing_id, row.number)) == row.attempt:
            found[(row.listing_id, row.number)].append(row)
    return found


def findings_of(check: VersionCheck) -> list[Finding]:
    """A record's findings, for people."""
    return [read(one) for one in check.findings]


def all_passed(checks: Sequence[VersionCheck]) -> bool:
    """Every check of the version has passed; none at all is not enough."""
    return bool(checks) and all(one.state == pipeline.PASSED for one in checks)


def key_of(settings: Settings) -> signing.Key:
    """The key that this installation signs with."""
    if settings.artifact_signing_key:
        return signing.from_text(settings.artifact_signing_key)
    return signing.key_in(settings.var_dir / signing.FOLDER)


def sign(version: ListingVersion, slug: str, checks: Sequence[Mapping[str, Any]], settings: Settings, at: datetime) -> None:
    """Sign what was checked, and publish the key's public part. `checks` are the records that have passed."""
    key = key_of(settings)
    version.key_id, version.signature = signing.sign(key, signing.message(version.sha256, slug, version.number, checks))
    version.checked_at = at
    row = {"id": version.key_id, "public": signing.public_bytes(key), "created_at": at}
    db.session.execute(insert(SigningKey).values(row).on_conflict_do_nothing())


def verify(version: ListingVersion, slug: str, checks: Sequence[VersionCheck]) -> None:
    """Raises BadSignature unless the version's signature fits its hash and its records."""
    if version.key_id is None or version.signature is None:
        raise signing.BadSignature("the version is not signed")
    kept = db.session.get(SigningKey, version.key_id)
    if kept is None:
        raise signing.BadSignature(f"there is no key {version.key_id}")
    told = [{"name": one.name, "state": one.state} for one in checks if one.name != "signature"]
    signing.verify(kept.public, version.signature, signing.message(version.sha256, slug, version.number, told))
