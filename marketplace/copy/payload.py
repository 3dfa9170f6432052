"""Which files of a bundle a member may make its own, and what its copy consists of then. No database."""

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

from marketplace.checks.unpack import TEXTS
from marketplace.release import bundles

KINDS = frozenset({"robot_task", "form_schema", "document_template", "text_template", "spreadsheet_template", "data_mapping"})
_MARK = re.compile(r"\.mine-\d+\.\d+\.\d+(-\d+)?", re.ASCII)
LONGEST_TEXT = 200_000  # bytes of a file that is edited in a browser; longer ones are uploaded


def names(manifest: Mapping[str, Any], files: Iterable[str]) -> list[str]:
    """The files that do the work: not the manifest, the instructions, the samples or what is expected of them."""
    shown = [part.rstrip("/") for case in manifest.get("cases", []) for part in (case["input"], case["expected"])]
    below = tuple(f"{part}/" for part in shown)
    return sorted(name for name in files if name not in ("manifest.json", "README.md", *shown) and not name.startswith(below))


def with_changes(files: Mapping[str, bytes], changes: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files of a version with a member's own in place of theirs, or beside them."""
    return {**files, **changes}


def packed(manifest: dict[str, Any], files: Mapping[str, bytes]) -> bundles.Bundle:
    """A copy as a bundle: the same files give the same bytes, and so the same hash."""
    made = bundles.pack(manifest, files)
    return bundles.Bundle(made.filename.removesuffix(".zip") + "-edited.zip", made.content, made.sha256, manifest)


def digest(content: bytes) -> str:
    """The lower-case hex SHA-256 of a file."""
    return hashlib.sha256(content).hexdigest()


def is_text_name(name: str) -> bool:
    """Does the file's ending say that it is a text?"""
    return PurePosixPath(name).suffix.lower() in TEXTS


def text_of(content: bytes, name: str) -> str | None:
    """A file as it can be edited in a browser; None for what is no such text."""
    if not is_text_name(name) or len(content) > LONGEST_TEXT:
        return None
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return None


def from_browser(text: str, before: bytes) -> bytes:
    """What a browser's text field sent, in the line ends of the file it stands for: browsers send CRLF whatever they were given."""
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    return (plain.replace("\n", "\r\n") if b"\r\n" in before else plain).encode()


def beside(name: str, version: str, taken: Collection[str]) -> str:
    """A free name for a member's file beside the publisher's: `mail.txt.j2` of 1.0.0 becomes `mail.mine-1.0.0.txt.j2`."""
    path = PurePosixPath(name)
    stem, dot, endings = _MARK.sub("", path.name).partition(".")
    folded = {one.casefold() for one in taken}
    for n in range(1, len(taken) + 2):
        found = str(path.with_name(f"{stem or 'file'}.mine-{version}{f'-{n}' if n > 1 else ''}{dot}{endings}"))
        if found.casefold() not in folded:
            return found
    raise AssertionError("one of so many names is free")
