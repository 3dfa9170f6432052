"""What is inside a bundle, for people: its files, how to use it, and each case's input beside what it gives."""

import csv
import difflib
import hashlib
import io
import json
import zipfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from sqlalchemy import select

from core.db import db
from marketplace.release.version_models import Artifact
from marketplace.store.search_terms import HAN

TEXTS = {".csv", ".json", ".txt", ".md", ".j2", ".xml", ".robot", ".html", ".yaml", ".yml", ".tsv"}
MOST_BYTES, MOST_LINES, MOST_ROWS, MOST_COLUMNS = 6_000, 24, 6, 7
MOST_SAMPLES = 3  # files shown of one case
KEPT = 128
MOST_DIFF_LINES, MOST_DIFF_BYTES = 300, 200_000


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file of a bundle; `size` in bytes, unpacked; `sha256` of its content tells a changed file."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Sample:
    """A file to look at: the rows of a table, or text; neither for what can't be shown. `is_cut`: there is more than is shown."""

    name: str
    size: int
    rows: list[list[str]] | None = None
    text: str | None = None
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """One sample: what goes in and what comes out, as the manifest promises."""

    name: str
    inputs: list[Sample]
    outputs: list[Sample]
    more_outputs: int


@dataclass(frozen=True, slots=True)
class Contents:
    """A bundle, opened. `readme` by language."""

    files: list[FileEntry]
    manifest: dict[str, Any]
    readme_zh: str
    readme_en: str
    cases: list[Case]


_opened: OrderedDict[str, Contents] = OrderedDict()  # by hash, so never out of date


def of(sha256: str) -> Contents:
    """The contents of a stored bundle."""
    if sha256 in _opened:
        _opened.move_to_end(sha256)
        return _opened[sha256]
    content = db.session.scalar(select(Artifact.content).where(Artifact.sha256 == sha256))
    assert content is not None, "a version names an artifact that is kept"
    _opened[sha256] = read(content)
    if len(_opened) > KEPT:
        _opened.popitem(last=False)
    return _opened[sha256]


def read(content: bytes) -> Contents:
    """Open a bundle's bytes."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        plain = [info for info in archive.infolist() if not info.is_dir()]
        files = [FileEntry(info.filename, info.file_size, hashlib.sha256(archive.read(info)).hexdigest()) for info in plain]
        manifest = dict(json.loads(archive.read("manifest.json")))
        readme = archive.read("README.md").decode("utf-8", "replace") if any(f.name == "README.md" for f in files) else ""
        cases = [_case(archive, files, declared) for declared in manifest.get("cases", [])]
    zh, en = _languages(readme)
    return Contents(files, manifest, zh, en, cases)


def _case(archive: zipfile.ZipFile, files: list[FileEntry], declared: dict[str, Any]) -> Case:
    inputs, outputs = (_below(files, str(declared[part])) for part in ("input", "expected"))
    return Case(
        str(declared["name"]),
        [_sample(archive, one) for one in inputs[:MOST_SAMPLES]],
        [_sample(archive, one) for one in outputs[:MOST_SAMPLES]],
        max(0, len(outputs) - MOST_SAMPLES),
    )


def _below(files: list[FileEntry], path: str) -> list[FileEntry]:
    """The file of that path, or all files of that folder."""
    folder = path.rstrip("/") + "/"
    return [one for one in files if one.name == path or one.name.startswith(folder)]


def _sample(archive: zipfile.ZipFile, entry: FileEntry) -> Sample:
    suffix = PurePosixPath(entry.name).suffix
    if suffix not in TEXTS:
        return Sample(entry.name, entry.size)
    with archive.open(entry.name) as stream:
        text = stream.read(MOST_BYTES).decode("utf-8-sig", "ignore")
    cut = entry.size > MOST_BYTES
    if suffix in (".csv", ".tsv"):
        rows = list(csv.reader(io.StringIO(text), delimiter="\t" if suffix == ".tsv" else ","))
        rows = rows[:-1] if cut else rows
        shown = [row[:MOST_COLUMNS] for row in rows[: MOST_ROWS + 1] if row]
        return Sample(entry.name, entry.size, rows=shown, is_cut=cut or len(rows) > MOST_ROWS + 1 or any(len(row) > MOST_COLUMNS for row in rows))
    lines = text.splitlines()
    return Sample(entry.name, entry.size, text="\n".join(lines[:MOST_LINES]), is_cut=cut or len(lines) > MOST_LINES)


def _languages(readme: str) -> tuple[str, str]:
    """The Chinese and the English part of a README: its sections by the script they are written in; each whole where there is only one."""
    sections: list[list[str]] = [[]]
    for line in readme.splitlines():
        if line.startswith(("# ", "## ")):
            sections.append([])
        sections[-1].append(line)
    zh: list[str] = []
    en: list[str] = []
    for section in sections:
        title = section[0] if section else ""
        (zh if HAN.search(title) else en).append("\n".join(section).strip())
    joined = ["\n\n".join(part for part in parts if part) for parts in (zh, en)]
    return joined[0] or joined[1], joined[1] or joined[0]


def file_changes(new: Contents, old: Contents | None) -> list[tuple[str, FileEntry]]:
    """Each file with what became of it: added, changed, same or removed (against the version before)."""
    before = {one.name: one for one in old.files} if old else {}
    rows = [("added" if one.name not in before else "same" if one.sha256 == before[one.name].sha256 else "changed", one) for one in new.files]
    here = {one.name for one in new.files}
    return sorted(rows + [("removed", one) for one in before.values() if one.name not in here], key=lambda row: row[1].name)


def manifest_changes(new: Contents, old: Contents | None) -> list[tuple[str, str, str]]:
    """(key, before, now) of each manifest entry that differs; all of them where there is no version before."""

    def plain(value: Any) -> str:
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1)

    before = old.manifest if old else {}
    keys = [key for key in {**new.manifest, **before} if key not in ("permissions",) and new.manifest.get(key) != before.get(key)]
    return [(key, plain(before[key]) if key in before else "", plain(new.manifest[key]) if key in new.manifest else "") for key in keys]


def text_changes(new: bytes, old: bytes | None) -> list[tuple[str, list[str], bool]]:
    """(file, lines of a unified diff, is it cut short) of each text file that two bundles do not have in common; a new file is all additions."""
    ours, theirs = _texts(new), _texts(old) if old else {}
    found = []
    for name in sorted({**ours, **theirs}):
        if ours.get(name) != theirs.get(name):
            before, after = (side.get(name, "").splitlines() for side in (theirs, ours))
            lines = list(difflib.unified_diff(before, after, n=2, lineterm=""))[2:]
            found.append((name, lines[:MOST_DIFF_LINES], len(lines) > MOST_DIFF_LINES))
    return found


def _texts(content: bytes) -> dict[str, str]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        wanted = [info for info in archive.infolist() if PurePosixPath(info.filename).suffix in TEXTS and info.file_size <= MOST_DIFF_BYTES]
        return {info.filename: archive.read(info).decode("utf-8", "replace") for info in wanted if info.filename != "manifest.json"}
