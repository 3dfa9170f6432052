"""Writing zips of many documents: part by part, so that a worker that is killed loses one part, and other jobs get their turn in between.

A part is a zip of up to SLICE documents in a folder of the archive; at the end all are joined into the file that is handed out. Each is written beside
its place and then moved there. What is on disk without being wanted any more, a sweep deletes.
"""

import errno
import shutil
import time
import uuid
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import redis
import structlog
from flask import current_app

from billing.document import document_archives as archives
from billing.document import document_files, document_list
from billing.document.document_archives import Lost, Work
from billing.document.document_models import Document
from core import jobs
from core.clock import real_now
from core.db import SYSTEM, transaction
from core.paging import Page, keyset
from core.settings import Settings

SLICE = 200  # documents a part
TURN_S = 20.0  # then another job has its turn
LONGEST_S = 3600  # one part, or joining all of them
SWEEP_EVERY_S = 60
log = structlog.get_logger()


class _CannotWrite(Exception):
    """A document of this number cannot be made into a file."""


def _settings() -> Settings:
    found: Settings = current_app.extensions["settings"]
    return found


def file_of(archive_id: uuid.UUID) -> Path:
    """Where the finished zip lies."""
    return _settings().archive_dir / f"{archive_id}.zip"


def _parts_of(archive_id: uuid.UUID) -> Path:
    return _settings().archive_dir / str(archive_id)


def enqueue(archive_id: uuid.UUID, parts: int) -> None:
    """Leave the next parts to a worker. Call it after the commit. A queue that is away costs a minute: the sweep finds it."""
    try:
        jobs.enqueue(write, str(archive_id), queue="bulk", timeout_s=LONGEST_S, key=f"archive-{archive_id}-{parts}")
    except redis.RedisError as error:
        log.warning("archive waits for the sweep", archive=str(archive_id), error=repr(error))


def write(archive_id: str) -> str | None:
    """Write parts for a while; after the last one, the file. Returns how it ended; None where it goes on, or somebody else has it."""
    began, holder = time.monotonic(), uuid.uuid4()
    with transaction(SYSTEM):
        work = archives.hold(uuid.UUID(archive_id), holder, at=real_now())
    if work is None:
        return None
    try:
        with _failures_told(work):
            while work.reached is not None or not work.parts:
                work = _write_part(work)
                if work.reached is not None and time.monotonic() - began > TURN_S:
                    with transaction(SYSTEM):
                        archives.pause(work)
                    enqueue(work.archive_id, work.parts)
                    return None
            _join(work)
            return "ready"
    except Lost:  # whoever has it now needs the parts; where nobody does, the sweep deletes them
        return None
    return "failed"


@contextmanager
def _failures_told(work: Work) -> Iterator[None]:
    """What goes wrong becomes a word on the row; only bugs go on to the log of failed jobs, told as well."""
    try:
        yield
    except Lost:
        raise
    except _CannotWrite as error:
        _fail(work, "document", str(error))
    except OSError as error:
        log.exception("archive cannot be written", archive=str(work.archive_id))
        _fail(work, "disk_full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "disk")
    except zipfile.BadZipFile:
        log.exception("archive's part is broken", archive=str(work.archive_id))
        _fail(work, "disk")


def _fail(work: Work, code: str, number: str | None = None) -> None:
    with transaction(SYSTEM):
        archives.fail(work, code, number)
    delete(work.archive_id)


def _write_part(work: Work) -> Work:
    """One more part. The same documents again make the same part, so it does not matter whether it was there."""
    with transaction(SYSTEM) as session:
        page: Page[Document] = keyset(session, document_list.find(work.filters), document_list.ORDER, work.reached, SLICE, descending=False)
        session.expunge_all()
    folder = _parts_of(work.archive_id)
    folder.mkdir(parents=True, exist_ok=True)
    with _moved_to(folder / f"{work.parts + 1:06}.zip") as path, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as zipped:
        for document in page.items:
            zipped.writestr(*_entry(document))
    with transaction(SYSTEM):
        archives.keep(work, at=real_now(), parts=work.parts + 1, documents=len(page.items), reached=page.next)
    return Work(work.archive_id, work.holder, work.filters, work.parts + 1, page.next)


def _entry(document: Document) -> tuple[zipfile.ZipInfo, bytes]:
    try:
        return document_files.entry(document, None)
    except Exception as error:
        log.exception("document cannot be rendered", number=document.number)
        raise _CannotWrite(document.number) from error


def _join(work: Work) -> None:
    """All parts in one file, then the row says that it is there."""
    settings, path = _settings(), file_of(work.archive_id)
    with _moved_to(path) as new, zipfile.ZipFile(new, "w", zipfile.ZIP_STORED) as whole:
        for n in range(1, work.parts + 1):
            with zipfile.ZipFile(_parts_of(work.archive_id) / f"{n:06}.zip") as part:
                for info in part.infolist():
                    whole.writestr(zipfile.ZipInfo(info.filename, info.date_time), part.read(info))  # read() compares the checksum
            with transaction(SYSTEM):
                archives.keep(work, at=real_now(), parts=work.parts, documents=0, reached=None)
    at = real_now()
    with transaction(SYSTEM):
        archives.finish(work, path.stat().st_size, at=at, expires_at=at + timedelta(hours=settings.document_archive_hours))
    shutil.rmtree(_parts_of(work.archive_id), ignore_errors=True)


@contextmanager
def _moved_to(path: Path) -> Iterator[Path]:
    """A file beside the place that it is moved to once it is whole."""
    beside = path.with_suffix(f".{uuid.uuid4().hex}.new")
    try:
        yield beside
        beside.replace(path)
    finally:
        _unlink(beside)


def delete(archive_id: uuid.UUID) -> None:
    """Do away with all files of an archive, as far as the disk lets us; the sweep tries again."""
    _unlink(file_of(archive_id))
    shutil.rmtree(_parts_of(archive_id), ignore_errors=True)


def _unlink(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


def sweep() -> int:
    """Every minute: put in line what no worker writes, end what has been kept long enough, delete what nobody needs. Returns how many it put in line."""
    at = real_now()
    with transaction(SYSTEM):
        archives.expire(at=at)
        lost = [(one.id, one.parts) for one in archives.waiting(at=at)]
    for archive_id, parts in lost:
        enqueue(archive_id, parts)
    _delete_unwanted()
    return len(lost)


def _delete_unwanted() -> None:
    """Whatever lies there and belongs to no archive that needs it. What is not ours is left alone."""
    found: dict[uuid.UUID, list[Path]] = {}
    for path in _listed(_settings().archive_dir):
        try:
            found.setdefault(uuid.UUID(path.name.partition(".")[0]), []).append(path)
        except ValueError:
            continue
    if not found:
        return
    with transaction(SYSTEM):
        alive = archives.wanted(list(found))
    for archive_id, paths in found.items():
        for path in paths if archive_id not in alive else ():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                _unlink(path)


def _listed(folder: Path) -> Sequence[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []
