"""Bundles depend on the content of their folder alone."""

import hashlib
import io
import json
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest

from marketplace.release import bundles

SLUGS = [listing.slug for listing in bundles.load_showcase()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copy = tmp_path / "clean-phone-numbers"
    shutil.copytree(bundles.SHOWCASE / "clean-phone-numbers", copy)
    return copy


def changed(folder: Path, name: str, **values: Any) -> None:
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **values}), "utf-8")


@pytest.mark.parametrize("slug", SLUGS)
def test_bundle_is_the_same_each_time_and_everywhere(slug: str, tmp_path: Path) -> None:
    first = bundles.build(bundles.SHOWCASE / slug)
    elsewhere = tmp_path / "a copy under another name"
    shutil.copytree(bundles.SHOWCASE / slug, elsewhere)
    for path in elsewhere.rglob("*"):
        os.utime(path, (0, 1_000_000_000))
        if path.is_file():
            path.chmod(0o600)
    assert bundles.build(elsewhere) == first
    assert first.sha256 == hashlib.sha256(first.content).hexdigest()
    assert first.filename == f"{slug}-{first.manifest['version']}.zip"


@pytest.mark.parametrize("slug", SLUGS)
def test_bundle_holds_the_folder_without_the_listing(slug: str) -> None:
    root = bundles.SHOWCASE / slug
    with zipfile.ZipFile(io.BytesIO(bundles.build(root).content)) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert names == sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file() and path.name not in bundles.NOT_BUNDLED)
        assert {info.date_time for info in archive.infolist()} == {bundles.EARLIEST}
        assert all(archive.read(name) == (root / name).read_bytes() for name in names)
    assert {"README.md", "manifest.json"} <= set(names)


def test_every_change_of_content_changes_the_hash(folder: Path) -> None:
    before = bundles.build(folder)
    (folder / "README.md").write_text("other", "utf-8")
    assert bundles.build(folder).sha256 != before.sha256


def test_the_listing_and_hidden_files_do_not_count(folder: Path) -> None:
    before = bundles.build(folder)
    changed(folder, "listing.json", price_minor=500)
    (folder / ".DS_Store").write_bytes(b"x")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "x.pyc").write_bytes(b"x")
    assert bundles.build(folder) == before


def test_a_link_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret", "utf-8")
    (folder / "sample" / "more.csv").symlink_to(tmp_path / "secret")
    with pytest.raises(bundles.BundleInvalid, match="is a link"):
        bundles.build(folder)


@pytest.mark.parametrize("values", [
    {"kind": "virus"}, {"version": "1"}, {"entry": "../task.robot"}, {"entry": "/etc/hosts"}, {"entry": "gone.robot"}, {"required_edition_rank": 5},
    {"surprise": 1}, {"cases": []}, {"host_version": "any"}, {"permissions": ["everything"]}])  # fmt: skip
def test_a_wrong_manifest_is_refused(folder: Path, values: dict[str, Any]) -> None:
    changed(folder, "manifest.json", **values)
    with pytest.raises(bundles.BundleInvalid):
        bundles.build(folder)


def test_a_missing_manifest_is_refused(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    with pytest.raises(bundles.BundleInvalid, match=r"manifest\.json can't be read"):
        bundles.build(folder)


@pytest.mark.parametrize("values", [
    {"price_minor": 100}, {"pricing": "recurring", "price_minor": 100}, {"pricing": "one_time"}, {"period": "month"}, {"price_minor": -1},
    {"publisher": "stranger"}, {"bonus_limit_bp": 10001}, {"name_zh": ""}])  # fmt: skip
def test_a_wrong_listing_is_refused(folder: Path, values: dict[str, Any]) -> None:
    changed(folder, "listing.json", **values)
    with pytest.raises(bundles.BundleInvalid):
        bundles.read_listing(folder)


def test_the_showcase_is_typed() -> None:
    listing = next(listing for listing in bundles.load_showcase() if listing.slug == "lead-round-robin")
    assert listing.automates[0] == ("lead", "open")
    assert isinstance(listing.permissions, tuple)
    assert listing.folder == bundles.SHOWCASE / "lead-round-robin"
