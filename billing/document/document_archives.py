"""Zips of many documents that finance asks for: what is asked, how far it is, how it ends. The job that writes them is in document_archive_jobs.py.

A worker *holds* an archive while it writes; one that has lost its worker is taken over after a while, and goes on after the last part that was finished.
Holding and keeping files go by real time: a demo's clock that moves lets nothing expire here.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from flask_babel import gettext as _
from sqlalchemy import ColumnElement, func, select, update

from billing.document.document_list import Filters
from billing.document.document_models import DocumentArchive
from core import audit
from core.actor import Actor
from core.db import db
from core.errors import Conflict, IdReused, Invalid, NotFound
from core.formats import number

LOST_AFTER = timedelta(minutes=5)  # a hold that nobody has renewed for so long is a lost worker's
LOSSES_MOST = 3  # then something kills each worker that tries
OPEN = ("queued", "running")


class NotReady(Conflict):
    """The zip is not there yet, or no longer."""

    code = "not_ready"


class Lost(Exception):
    """Somebody else writes this archive now, or nobody wants it any more."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a worker goes on with."""

    archive_id: uuid.UUID
    holder: uuid.UUID
    filters: Filters
    parts: int
    reached: str | None


def request(archive_id: uuid.UUID, filters: Filters, month: str, count: int, by: Actor, *, most: int, at: datetime) -> DocumentArchive:
    """Ask for a zip of the `count` documents that pass; again it is the same. Raises Invalid where there is none, or more than `most`; IdReused."""
    filters = replace(filters, until=min(filters.until or at, at))  # what is issued from now on is not in it
    if first := db.session.get(DocumentArchive, archive_id):
        if replace(filters_of(first), until=filters.until) != filters:
            raise IdReused(_("This id was already used for another request."), field="id")
        return first
    if not count:
        raise Invalid(_("No document is like this: there is nothing to put into a zip."))
    if count > most:
        raise Invalid(_("These are %(count)s documents, and one zip takes %(most)s. Choose a month or a kind.", count=number(count), most=number(most)))
    assert filters.until is not None
    made = DocumentArchive(
        id=archive_id, currency=filters.currency, kind=filters.kind, since=filters.since, until=filters.until, words=filters.words, month=month, state="queued",
        total=count, done=0, parts=0, asked_by=by.user_id, asked_by_name=by.name, asked_at=at, losses=0,
    )  # fmt: skip
    db.session.add(made)
    what = {"currency": filters.currency, "month": month, "kind": filters.kind, "words": filters.words, "documents": count}
    audit.record("document_archive.request", archive_id, at=at, after=what)
    db.session.flush()
    return made


def filters_of(one: DocumentArchive) -> Filters:
    """What the list of its documents is narrowed to."""
    return Filters(one.kind, one.since, one.until, one.words, currency=one.currency)


def show(archive_id: uuid.UUID) -> DocumentArchive:
    """One archive. Raises NotFound."""
    found = db.session.get(DocumentArchive, archive_id)
    if found is None:
        raise NotFound(_("There is no such zip."))
    return found


def latest(limit: int = 50) -> Sequence[DocumentArchive]:
    """The last ones that were asked for, whoever asked."""
    return db.session.scalars(select(DocumentArchive).order_by(DocumentArchive.asked_at.desc(), DocumentArchive.id).limit(limit)).all()


def take_out(archive_id: uuid.UUID, *, at: datetime, real_at: datetime, told: bool = True) -> DocumentArchive:
    """Somebody takes the file; it is written down unless it was `told` before (a download that goes on). Raises NotFound, NotReady."""
    found = show(archive_id)
    if found.state != "ready" or found.expires_at is None or found.expires_at <= real_at:
        raise NotReady(_("This zip is not there. Prepare it again."))
    if told:
        audit.record("document_archive.download", archive_id, at=at, after={"file": found.name, "documents": found.done})
    return found


def remove(archive_id: uuid.UUID, *, at: datetime) -> None:
    """Stop it, or do away with it; its files are deleted by the caller or the sweep. Again changes nothing. Raises NotFound."""
    found = show(archive_id)
    if found.state not in (*OPEN, "ready"):
        return
    audit.record("document_archive.remove", archive_id, at=at, before={"state": found.state})
    found.state, found.holder, found.held_at = "removed", None, None


# -- for the worker


def hold(archive_id: uuid.UUID, holder: uuid.UUID, *, at: datetime) -> Work | None:
    """Take one that nobody writes, or whose worker is lost; None where there is nothing to do."""
    found = db.session.get(DocumentArchive, archive_id, with_for_update={"skip_locked": True}, populate_existing=True)
    if found is None or found.state not in OPEN or (found.held_at is not None and found.held_at > at - LOST_AFTER):
        return None
    if found.holder is not None:
        found.losses += 1
    if found.losses >= LOSSES_MOST:
        found.state, found.failure, found.holder, found.held_at = "failed", "gave_up", None, None
        return None
    found.state, found.holder, found.held_at = "running", holder, at
    return Work(archive_id, holder, filters_of(found), found.parts, found.reached)


def keep(work: Work, *, at: datetime, parts: int, documents: int, reached: str | None) -> None:
    """A part is finished, or (with the same number) work goes on. Raises Lost."""
    _change(work, done=DocumentArchive.done + documents, parts=parts, reached=reached, held_at=at)


def pause(work: Work) -> None:
    """Let go, so that any worker goes on. Raises Lost."""
    _change(work, holder=None, held_at=None)


def finish(work: Work, size_bytes: int, *, at: datetime, expires_at: datetime) -> None:
    """The file is there, until `expires_at`. Raises Lost."""
    _change(
        work, state="ready", holder=None, held_at=None, size_bytes=size_bytes, finished_at=at, expires_at=expires_at,
        total=func.greatest(DocumentArchive.done, 1),
    )  # fmt: skip


def fail(work: Work, failure: str, document_number: str | None = None) -> None:
    """It cannot be done, and why. Raises Lost."""
    _change(work, state="failed", holder=None, held_at=None, failure=failure, failed_number=document_number)


def _change(work: Work, **values: object) -> None:
    mine: list[ColumnElement[bool]] = [DocumentArchive.id == work.archive_id, DocumentArchive.holder == work.holder]
    if not db.session.execute(update(DocumentArchive).where(*mine).values(**values)).rowcount:  # type: ignore[attr-defined]
        raise Lost


def waiting(*, at: datetime) -> Sequence[DocumentArchive]:
    """Those that nobody writes at `at`."""
    free = DocumentArchive.held_at.is_(None) | (DocumentArchive.held_at <= at - LOST_AFTER)
    return db.session.scalars(select(DocumentArchive).where(DocumentArchive.state.in_(OPEN), free).order_by(DocumentArchive.asked_at)).all()


def expire(*, at: datetime) -> Sequence[uuid.UUID]:
    """Those whose time is over by `at` are not there any more; their ids."""
    done = update(DocumentArchive).where(DocumentArchive.state == "ready", DocumentArchive.expires_at <= at).values(state="expired")
    return db.session.scalars(done.returning(DocumentArchive.id)).all()


def wanted(ids: Sequence[uuid.UUID]) -> set[uuid.UUID]:
    """Which of these still need their files."""
    alive = DocumentArchive.state.in_((*OPEN, "ready"))
    return set(db.session.scalars(select(DocumentArchive.id).where(DocumentArchive.id.in_(ids), alive)))
