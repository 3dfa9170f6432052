"""Zips of many documents: asked for, written part by part by a job that may be killed anywhere, handed out for a while, and told truthfully."""

import dataclasses
import io
import uuid
import zipfile
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from billing.document import document_archive_jobs as archive_jobs
from billing.document import document_archives as archives
from billing.document import document_files, document_jobs, document_pdf
from billing.document.document_models import DocumentArchive
from core.audit import AuditEntry
from core.clock import real_now
from core.db import SYSTEM, transaction
from core.ids import new_id
from core.settings import Settings
from tests.billing.document.test_documents import charge, top_up
from tests.factories import AT, make_member, make_user
from tests.sign_in import signed_in

LATER = AT + timedelta(hours=1)
DOCUMENTS = 5


class Killed(BaseException):
    """What happens to a process, not to a program: nothing catches it."""


@pytest.fixture
def folder(app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where zips lie in this test; more than one document is too many for a direct download, and a part takes two."""
    settings: Settings = app.extensions["settings"]
    monkeypatch.setitem(app.extensions, "settings", dataclasses.replace(settings, archive_dir=tmp_path / "zips", document_zip_direct=2, document_zip_most=100))
    monkeypatch.setattr(archive_jobs, "SLICE", 2)
    return tmp_path / "zips"


@pytest.fixture
def finance(app: Flask, folder: Path) -> FlaskClient:
    """A finance clerk's browser, over a member with five documents."""
    member = make_member(name="上海岚岳供应链")
    top_up(member, 1_000_00, 100_00)
    for n in range(DOCUMENTS - 1):
        charge(member, 10_60 + n * 1_06, 60 + n * 6)
    document_jobs.issue_all(LATER)
    return signed_in(app, make_user("finance"))


def ask(client: FlaskClient, archive_id: uuid.UUID | None = None, **narrowed: str) -> uuid.UUID:
    archive_id = archive_id or new_id()
    answer = client.post("/finance/documents/zips", data={"id": str(archive_id), **narrowed})
    assert (answer.status_code, answer.location) == (303, f"/finance/documents/zips/{archive_id}")
    return archive_id


def row(archive_id: uuid.UUID) -> DocumentArchive:
    with transaction(SYSTEM) as session:
        found = session.get_one(DocumentArchive, archive_id, populate_existing=True)
        session.expunge(found)
        return found


def actions() -> list[str]:
    with transaction(SYSTEM) as session:
        return list(session.scalars(select(AuditEntry.action).order_by(AuditEntry.at, AuditEntry.id)))


def later(monkeypatch: pytest.MonkeyPatch, by: timedelta) -> None:
    """Real time moves on for the job."""
    at = real_now() + by
    monkeypatch.setattr(archive_jobs, "real_now", lambda: at)


def test_a_large_selection_is_prepared_and_handed_out(finance: FlaskClient, folder: Path) -> None:
    assert "Prepare a zip of 5 documents" in finance.get("/finance/documents?lang=en").text
    asked = ask(finance, month="2026-06")
    assert ask(finance, asked, month="2026-06") == asked  # a double click
    assert finance.post("/finance/documents/zips", data={"id": str(asked), "kind": "receipt"}).status_code == 409
    waiting = finance.get(f"/finance/documents/zips/{asked}?lang=en").text
    assert "Waits for a worker" in waiting
    assert finance.get(f"/finance/documents/zips/{asked}.zip").status_code == 303
    assert archive_jobs.write(str(asked)) == "ready"
    assert archive_jobs.write(str(asked)) is None
    assert finance.get(f"/finance/documents/zips/{asked}/progress").json["done"] is True
    page = finance.get(f"/finance/documents/zips/{asked}?lang=en").text
    assert "Download (" in page
    answer = finance.get(f"/finance/documents/zips/{asked}.zip")
    assert (answer.mimetype, answer.headers["Content-Disposition"]) == ("application/zip", "attachment; filename=documents-CNY-2026-06.zip")
    files = zipfile.ZipFile(io.BytesIO(answer.data))
    assert files.testzip() is None
    assert files.namelist() == ["RCT-2026-000001.pdf", *(f"INV-2026-{n:06}.pdf" for n in range(1, 5))] or len(files.namelist()) == DOCUMENTS
    assert all(files.read(name).startswith(b"%PDF-") for name in files.namelist())
    assert [path.name for path in folder.iterdir()] == [f"{asked}.zip"]
    assert row(asked).size_bytes == len(answer.data)
    rest = finance.get(f"/finance/documents/zips/{asked}.zip", headers={"Range": "bytes=100-"})
    assert (rest.status_code, rest.data) == (206, answer.data[100:])
    assert actions() == ["document_archive.request", "document_archive.download"]
    assert f"/finance/documents/zips/{asked}" in finance.get("/finance/documents/zips?lang=en").text


def test_a_small_selection_comes_at_once_and_a_large_one_does_not(finance: FlaskClient) -> None:
    one = finance.get("/finance/documents.zip?kind=receipt")
    assert zipfile.ZipFile(io.BytesIO(one.data)).namelist() == ["RCT-2026-000001.pdf"]
    assert actions() == ["document.download"]
    many = finance.get("/finance/documents.zip?lang=en", follow_redirects=True)
    assert "let a zip be prepared" in many.text
    assert finance.get("/finance/documents.zip?q=zzzzzz").location == "/finance/documents?q=zzzzzz"


@pytest.mark.parametrize(("narrowed", "words"), [({"q": "zzzzzz"}, "nothing to put into a zip"), ({"month": "2026-13"}, ""), ({"month": "1000-01"}, "2026-06")])
def test_what_cannot_be_prepared_says_why(finance: FlaskClient, narrowed: dict[str, str], words: str) -> None:
    answer = finance.post("/finance/documents/zips?lang=en", data={"id": str(new_id()), **narrowed}, follow_redirects=True)
    assert answer.status_code in (200, 422)
    assert words in answer.text
    assert actions() == []


def test_more_than_a_zip_takes_is_refused(app: Flask, finance: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.extensions, "settings", dataclasses.replace(app.extensions["settings"], document_zip_most=4))
    answer = finance.post("/finance/documents/zips?lang=en", data={"id": str(new_id())}, follow_redirects=True)
    assert "one zip takes 4" in answer.text
    assert "Prepare a zip" not in finance.get("/finance/documents?lang=en").text


@pytest.mark.parametrize(("point", "nth"), [("finish", 1), *((point, nth) for point in ("entry", "keep", "replace") for nth in (1, 3, 4))])
def test_a_worker_killed_anywhere_loses_a_part_at_most(finance: FlaskClient, monkeypatch: pytest.MonkeyPatch, point: str, nth: int) -> None:
    whole = ask(finance)
    assert archive_jobs.write(str(whole)) == "ready"
    asked = ask(finance)
    with monkeypatch.context() as patched:
        _die_at(patched, point, nth)
        with pytest.raises(Killed):
            archive_jobs.write(str(asked))
    assert (row(asked).state, archive_jobs.write(str(asked))) == ("running", None)  # held: the worker may live
    later(monkeypatch, timedelta(minutes=6))
    assert archive_jobs.sweep() == 1
    assert archive_jobs.write(str(asked)) == "ready"
    assert archive_jobs.file_of(asked).read_bytes() == archive_jobs.file_of(whole).read_bytes()
    assert (row(asked).done, row(asked).losses) == (DOCUMENTS, 1)
    archive_jobs.sweep()
    assert sorted(path.name for path in archive_jobs.file_of(asked).parent.iterdir()) == sorted([f"{whole}.zip", f"{asked}.zip"])


def _die_at(monkeypatch: pytest.MonkeyPatch, point: str, nth: int) -> None:
    """The process ends at the nth call of something."""
    where: dict[str, object] = {"entry": document_files, "keep": archives, "finish": archives, "replace": Path}
    real, calls = getattr(where[point], point), 0

    def dying(*args: object, **kwargs: object) -> object:
        nonlocal calls
        calls += 1
        if calls == nth:
            raise Killed
        return real(*args, **kwargs)

    monkeypatch.setattr(where[point], point, dying)


def test_others_get_their_turn_between_parts(finance: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ask(finance)
    monkeypatch.setattr(archive_jobs, "TURN_S", -1.0)
    assert archive_jobs.write(str(asked)) is None
    assert (row(asked).done, row(asked).percent, row(asked).holder) == (2, 40, None)
    assert "2 of 5 documents are written" in finance.get(f"/finance/documents/zips/{asked}/progress?lang=en").json["text"]
    assert archive_jobs.write(str(asked)) is None
    assert archive_jobs.write(str(asked)) == "ready"
    assert row(asked).losses == 0


def test_what_kills_every_worker_is_given_up(finance: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ask(finance)
    for n in range(archives.LOSSES_MOST):
        with monkeypatch.context() as patched:
            later(patched, timedelta(minutes=6 * n))
            _die_at(patched, "entry", 1)
            with pytest.raises(Killed):
                archive_jobs.write(str(asked))
    later(monkeypatch, timedelta(minutes=6 * archives.LOSSES_MOST))
    assert archive_jobs.write(str(asked)) is None
    assert (row(asked).state, row(asked).failure) == ("failed", "gave_up")
    assert "given up" in finance.get(f"/finance/documents/zips/{asked}?lang=en").text


def test_a_full_disk_a_missing_folder_and_a_broken_document_are_told(finance: FlaskClient, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full, unwritable, broken = ask(finance), ask(finance), ask(finance)
    with monkeypatch.context() as patched:
        patched.setattr(zipfile.ZipFile, "writestr", lambda *_args: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        assert archive_jobs.write(str(full)) == "failed"
    assert "no room left on the disk" in finance.get(f"/finance/documents/zips/{full}?lang=en").text
    assert not list(folder.glob("*"))
    folder.rmdir()
    folder.write_text("not a folder")
    assert archive_jobs.write(str(unwritable)) == "failed"
    assert "could not be written" in finance.get(f"/finance/documents/zips/{unwritable}?lang=en").text
    folder.unlink()
    with monkeypatch.context() as patched:
        patched.setattr(document_pdf, "render", lambda *_args: 1 // 0)
        assert archive_jobs.write(str(broken)) == "failed"
    page = finance.get(f"/finance/documents/zips/{broken}?lang=en").text
    assert row(broken).failed_number is not None
    assert row(broken).failed_number in page  # type: ignore[operator]


def test_one_that_is_removed_stops_and_leaves_nothing(finance: FlaskClient, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ask(finance)
    real = document_files.entry

    def remove_meanwhile(*args: object) -> object:
        finance.post(f"/finance/documents/zips/{asked}/removal")
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(document_files, "entry", remove_meanwhile)
    assert archive_jobs.write(str(asked)) is None
    assert row(asked).state == "removed"
    archive_jobs.sweep()
    assert not list(folder.glob("*"))
    assert actions() == ["document_archive.request", "document_archive.remove"]


def test_a_file_is_kept_for_its_time_and_then_gone(finance: FlaskClient, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ask(finance)
    archive_jobs.write(str(asked))
    later(monkeypatch, timedelta(hours=71))
    archive_jobs.sweep()
    assert row(asked).state == "ready"
    (folder / "notes.txt").write_text("not ours")
    later(monkeypatch, timedelta(hours=73))
    archive_jobs.sweep()
    assert row(asked).state == "expired"
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
    page = finance.get(f"/finance/documents/zips/{asked}.zip?lang=en", follow_redirects=True).text
    assert "Prepare it again" in page


def test_a_file_that_is_not_on_this_machine_is_told(finance: FlaskClient) -> None:
    asked = ask(finance)
    archive_jobs.write(str(asked))
    archive_jobs.file_of(asked).unlink()
    assert "not on this machine" in finance.get(f"/finance/documents/zips/{asked}.zip?lang=en", follow_redirects=True).text


def test_what_is_issued_afterwards_is_not_in_it(finance: FlaskClient) -> None:
    asked = ask(finance)
    with transaction(SYSTEM) as session:
        until: datetime = session.get_one(DocumentArchive, asked).until
    member = make_member()
    top_up(member, 10_00)
    document_jobs.issue_all(until + timedelta(minutes=1))
    assert archive_jobs.write(str(asked)) == "ready"
    assert len(zipfile.ZipFile(archive_jobs.file_of(asked)).namelist()) == DOCUMENTS
