"""The command line against a running store: one folder becomes a listing that is submitted; what is wrong is said in words and with the exit status."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from rq import Queue
from werkzeug.serving import make_server

from core import jobs as queue
from core.db import SYSTEM, transaction
from core.ids import derived
from marketplace.publisher import publish_client
from marketplace.release import bundles
from marketplace.release.version_models import ListingVersion
from marketplace.sandbox import box
from marketplace.store.listing_models import Listing
from tests.marketplace.publisher.test_drafts import YUNQI, key_of
from tests.marketplace.release.test_publishing import needs_sandbox
from tests.marketplace.store_world import FREE, open_store

ROOT = Path(__file__).parents[3]
SLUG = "tidy-phone-numbers"


@pytest.fixture
def url(app):
    """A store that answers on a port, with a worker."""
    open_store(FREE)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    stop = threading.Event()

    def work():
        with app.app_context():
            line = Queue("default", connection=queue.connection())
            while not stop.wait(0.05):
                for job in line.jobs:
                    line.remove(job)
                    job.perform()

    threads = [threading.Thread(target=server.serve_forever), threading.Thread(target=work)]
    [one.start() for one in threads]
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    stop.set()
    [one.join() for one in threads]


@pytest.fixture
def folder(tmp_path):
    """A publisher's folder: a showcase bundle under a name of its own."""
    made = tmp_path / SLUG
    shutil.copytree(bundles.SHOWCASE / FREE, made)
    for name in ("manifest.json", "listing.json"):
        change(made, name, slug=SLUG)
    return made


def change(folder, name, **values):
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}, ensure_ascii=False))


def secret(publisher_id=None):
    return key_of(*[publisher_id] if publisher_id else [])["Authorization"].removeprefix("Bearer ")


def run(folder, url, key, *more):
    return publish_client.main([str(folder), "--url", url, "--key", key, "--lang", "en", *more])


def listing():
    with transaction(SYSTEM) as session:
        return session.get(Listing, derived("listing", SLUG))


@needs_sandbox
def test_one_command_checks_uploads_waits_and_submits(url, folder):
    environ = {**os.environ, "BACKOFFICE_URL": url, "BACKOFFICE_API_KEY": secret(), "LANG": "C.UTF-8"}
    done = subprocess.run(
        [sys.executable, "-m", "marketplace.publisher.publish_client", str(folder)],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [part in done.stdout for part in ("Checks on this machine", "Draft listing", "Checks of the store", "replay     passed", "is submitted")] == [
        True
    ] * 5
    kept = listing()
    told = json.loads((folder / "listing.json").read_text())
    assert (kept.state, kept.name_zh, kept.minutes_saved, kept.automates["steps"]) == (
        "in_review", told["name_zh"], told["minutes_saved_per_run"], told["automates"],
    )  # fmt: skip
    with transaction(SYSTEM) as session:
        version = session.get(ListingVersion, (kept.id, told["version"]))
        assert (version.state, version.notes_en) == ("in_review", told["release_notes_en"])
        assert version.sha256 == bundles.build(folder).sha256, "the same zip, made here and there"


@needs_sandbox
def test_again_hands_nothing_in_twice_and_a_number_is_not_used_for_other_files(url, folder, capsys):
    key = secret()
    assert run(folder, url, key, "--keep-draft") == 0
    assert "stays a draft" in capsys.readouterr().out
    change(folder, "listing.json", name_en="Phone numbers made tidy")
    assert run(folder, url, key, "--keep-draft") == 0
    said = capsys.readouterr().out
    assert "brought up to date: name_en" in said
    assert "Handed in before" in said
    assert (listing().state, listing().name_en) == ("draft", "Phone numbers made tidy")
    (folder / "README.md").write_text("other words")
    assert run(folder, url, key) == 1
    assert "Numbers are never used twice" in capsys.readouterr().out


@needs_sandbox
def test_what_fails_here_is_not_handed_in(url, folder, capsys):
    task = folder / "task.robot"
    task.write_text(task.read_text().replace("Library          String", "Library          Process"))
    assert run(folder, url, secret()) == 1
    said = capsys.readouterr().out
    assert "task.robot:" in said
    assert "[robot_library]  This library is not allowed: Process" in said
    assert "→ Use BuiltIn" in said
    assert listing() is None


@needs_sandbox
def test_what_only_the_store_finds_is_said_with_file_line_rule_and_fix(url, folder, capsys, monkeypatch):
    """Here nothing is judged (as on a machine without a sandbox); the store does, and its words are the command's."""
    task = folder / "task.robot"
    task.write_text(task.read_text().replace("Library          String", "Library          Process"))
    monkeypatch.setattr(publish_client, "check_here", lambda _content, _kind: True)
    assert run(folder, url, secret()) == 1
    said = capsys.readouterr().out
    assert "policy     failed" in said
    assert "[robot_library]  This library is not allowed: Process" in said
    assert "take the next number" in said
    assert listing().state == "draft"


def test_without_a_sandbox_the_replay_is_left_to_the_store(folder, capsys, monkeypatch):
    monkeypatch.setattr(box, "_verdict", [(time.monotonic(), "bubblewrap is not installed")])
    assert run(folder, "http://127.0.0.1:9", "", "--dry-run") == 0
    said = capsys.readouterr().out
    assert "There is no sandbox here (bubblewrap is not installed)" in said
    assert "manifest   passed" in said
    assert "replay     left to the store" in said


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "manifest.json").unlink(), "manifest.json is missing."),
        (lambda folder: (folder / "manifest.json").write_text("{"), "manifest.json is not valid JSON"),
        (lambda folder: (folder / "run.sh").write_text("#!/bin/sh"), "Files of this kind are not allowed in a bundle: run.sh"),
        (lambda folder: (folder / "key.txt").write_text("AKIAIOSFODNN7EXAMPLE"), "This looks like a secret"),
        (lambda folder: change(folder, "manifest.json", permissions=["moon:read"]), "There is no such permission: moon:read"),
    ],
)
def test_a_dry_run_tells_what_is_wrong(folder, capsys, spoil, said):
    spoil(folder)
    assert run(folder, "http://127.0.0.1:9", "", "--dry-run") == 1
    assert said in capsys.readouterr().out


def test_what_cannot_be_tried_is_said_and_has_a_status_of_its_own(url, folder, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(publish_client, "check_here", lambda _content, _kind: True)
    monkeypatch.setattr("marketplace.publisher.publish_remote.WAIT_S", 0)
    for arguments, said in (
        ((tmp_path / "nowhere", url, "x"), "is no folder"),
        ((folder, url, ""), "Set BACKOFFICE_API_KEY"),
        ((folder, url, "jb_wrong"), "This API key is not valid"),
        ((folder, "http://127.0.0.1:9", "x"), "does not answer"),
        ((folder, "not an address", "x"), "does not answer"),
    ):
        assert run(*arguments) == 2
        assert said in capsys.readouterr().out
    (folder / "link.txt").symlink_to("/etc/passwd")
    assert run(folder, url, "x") == 2
    assert "is a link" in capsys.readouterr().out


def test_somebody_elses_name_is_refused(url, folder, capsys, monkeypatch):
    monkeypatch.setattr(publish_client, "check_here", lambda _content, _kind: True)
    key_of()
    assert run(folder, url, secret(), "--keep-draft", "--timeout", "0") in (0, 2)
    capsys.readouterr()
    assert run(folder, url, secret(YUNQI)) == 1
    assert "There is a listing with this name in the address already" in capsys.readouterr().out
