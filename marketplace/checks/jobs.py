"""Checking in the background: one job a version, each check visible as soon as it ends. The database is the truth; a sweep finds what was lost."""

import uuid
from datetime import timedelta

import redis
from flask import current_app
from sqlalchemy import select

from core import audit, jobs
from core.clock import now
from core.db import SYSTEM, db, transaction
from core.settings import Settings
from marketplace.checks import pipeline, records
from marketplace.publisher import publisher_notices
from marketplace.release import approvals, lifecycle
from marketplace.release.lifecycle_models import VersionCheck, VersionTransition
from marketplace.release.submissions import PROMISE
from marketplace.release.version_models import Artifact, ListingVersion
from marketplace.sandbox import box
from marketplace.sandbox.limits import Limits
from marketplace.store.listing_models import Listing

TIMEOUT_S = 900
LOST_AFTER = timedelta(minutes=20)  # longer than any job may take
PICKED_UP_AFTER = timedelta(seconds=20)


def enqueue(listing_id: uuid.UUID, number: str) -> None:
    """Leave a version to a worker. Call it after the commit. A queue that is away costs a minute: the sweep finds the version."""
    try:
        jobs.enqueue(check_version, str(listing_id), number, timeout_s=TIMEOUT_S, key=f"check-{listing_id}-{number.replace('.', '_')}")
    except redis.RedisError as error:
        current_app.logger.warning("version %s of %s waits for the sweep: %r", number, listing_id, error)


def check_version(listing_id: str, number: str) -> str | None:
    """Check one version from its upload to the queue, to the shop or back. Returns its state; None where there was nothing to do."""
    settings: Settings = current_app.extensions["settings"]
    key = (uuid.UUID(listing_id), number)
    with transaction(SYSTEM) as session:
        version = session.get(ListingVersion, key, with_for_update=True)
        if version is None or version.state not in ("draft", "in_review"):
            return None
        listing = session.get(Listing, version.listing_id)
        artifact = session.get(Artifact, version.sha256)
        assert listing is not None
        assert artifact is not None
        lifecycle.move_version(version, "scan", at=now())
        attempt = records.begin(version, listing.kind)
        content, kind = artifact.content, listing.kind

    def on_record(record: pipeline.Record) -> None:
        with transaction(SYSTEM):
            records.write(*key, attempt, record)

    check = pipeline.Check(content, kind, Limits.of(settings), on_record)
    done = check.run()
    with transaction(SYSTEM) as session:
        version = session.get(ListingVersion, key, with_for_update=True)
        assert version is not None
        if version.state != "scanning" or version.attempt != attempt:
            return None  # somebody took it for lost and began again
        listing = session.get(Listing, version.listing_id)
        assert listing is not None
        _conclude(listing, version, done, settings)
        return version.state


def _conclude(listing: Listing, version: ListingVersion, done: list[pipeline.Record], settings: Settings) -> None:
    """From the records to the version's next state."""
    at = now()
    signature = pipeline.Record("signature", pipeline.NOT_REACHED)
    failed = next((one for one in done if one.state == pipeline.FAILED), None)
    refused = next((one for one in done if one.state == pipeline.REFUSED), None)
    if failed:
        records.write(version.listing_id, version.number, version.attempt, signature)
        first = failed.findings[0]
        reason = f"{failed.name}: {first.where} {first.rule}".strip()
        lifecycle.move_version(version, "fail", at=at, reason=reason)
        publisher_notices.tell_of(
            listing, "checks_failed", at=at, key=f"{version.number}:{version.attempt}", version=version.number, finding=first.stored()
        )  # fmt: skip
        audit.record("version.failed", f"{listing.slug} {version.number}", at=at, after={"check": failed.name}, reason=reason)
        return
    if refused:
        signature.state, signature.findings = pipeline.REFUSED, refused.findings
    else:
        records.sign(version, listing.slug, [{"name": one.name, "state": one.state} for one in done], settings, at)
        signature.state, signature.started_at, signature.finished_at, signature.detail = pipeline.PASSED, at, at, {"key_id": version.key_id}
    records.write(version.listing_id, version.number, version.attempt, signature)
    lifecycle.move_version(version, "pass", at=at)
    if not refused and not approvals.approve_if_routine(listing, version, at=at):
        until, is_draft = version.created_at + PROMISE, listing.state == "draft"
        publisher_notices.tell_of(
            listing, "checks_passed", at=at, key=f"{version.number}:{version.attempt}", version=version.number, until=until.isoformat(), is_draft=is_draft
        )  # fmt: skip


def check_waiting() -> int:
    """Every minute: put in line what no job has taken, what a worker has lost, and what waited for a sandbox. Returns how many."""
    at, waiting = now(), []
    with transaction(SYSTEM) as session:
        begun = select(VersionTransition.at).where(
            VersionTransition.listing_id == ListingVersion.listing_id, VersionTransition.number == ListingVersion.number
        )  # fmt: skip
        last = begun.order_by(VersionTransition.at.desc()).limit(1).scalar_subquery()
        for version, since in session.execute(select(ListingVersion, last).where(ListingVersion.state.in_(("draft", "scanning")))).all():
            if version.state == "scanning" and since is not None and at - since > LOST_AFTER:
                lifecycle.move_version(version, "lose", at=at)
            if version.state == "draft" and (since is None or at - since > PICKED_UP_AFTER):
                waiting.append((version.listing_id, version.number))
        if box.unavailable() is None:
            waiting += _refused()
    for listing_id, number in waiting:
        enqueue(listing_id, number)
    return len(waiting)


def _refused() -> list[tuple[uuid.UUID, str]]:
    """Versions in review whose last attempt had no sandbox."""
    rows = db.session.execute(
        select(ListingVersion.listing_id, ListingVersion.number)
        .join(VersionCheck, (VersionCheck.listing_id == ListingVersion.listing_id) & (VersionCheck.number == ListingVersion.number))
        .where(ListingVersion.state == "in_review", VersionCheck.attempt == ListingVersion.attempt, VersionCheck.state == pipeline.REFUSED)
        .distinct()
    )  # fmt: skip
    return [(row[0], row[1]) for row in rows]


def replay_published() -> int:
    """Daily: have everything on sale checked again, as it lies in the database; one small job each, behind all that somebody waits for."""
    if box.unavailable() is not None:
        return 0
    with transaction(SYSTEM) as session:
        on_sale = select(Listing.id, Listing.current_version).where(Listing.state == "published", Listing.current_version.is_not(None))
        rows = session.execute(on_sale.order_by(Listing.slug)).all()
    for listing_id, number in rows:
        jobs.enqueue(replay_one, str(listing_id), number, queue="bulk", timeout_s=TIMEOUT_S, key=f"replay-{listing_id}")
    return len(rows)


def replay_one(listing_id: str, number: str) -> bool | None:
    """Check one released version again. True where it still passes; what no longer does is kept on its record, shown to reviewers and told to its publisher.

    The records of its release and its signature stay: a version does not lose them because a library changed, but somebody must look.
    """
    settings: Settings = current_app.extensions["settings"]
    key = (uuid.UUID(listing_id), number)
    with transaction(SYSTEM) as session:
        version, listing = session.get(ListingVersion, key), session.get(Listing, key[0])
        if version is None or listing is None or version.state != "published" or box.unavailable() is not None:
            return None
        artifact = session.get(Artifact, version.sha256)
        assert artifact is not None
        content, kind = artifact.content, listing.kind
    done = pipeline.Check(content, kind, Limits.of(settings)).run()
    if any(record.state == pipeline.REFUSED for record in done):
        return None  # the sandbox went away meanwhile, which says nothing about the version
    findings, at = [finding for record in done for finding in record.findings], now()
    with transaction(SYSTEM) as session:
        if new := approvals.remember_replay(*key, findings, at=at):
            listing = session.get_one(Listing, key[0])
            publisher_notices.tell_of(listing, "replay_failed", at=at, key=f"{number}:{at.isoformat()}", version=number, finding=new[0].stored())
    return not findings
