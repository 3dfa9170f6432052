"""Opening a zip of a stranger: what it claims is compared with what is there, nothing is written to disk."""

import io
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import PurePosixPath

from marketplace.checks.findings import Refused, refuse

MAX_ZIP, MAX_UNPACKED, MAX_FILES, MAX_FILE = 16 << 20, 64 << 20, 500, 32 << 20
OFFICE = (".docx", ".xlsx")
TEXTS = (".csv", ".json", ".txt", ".md", ".j2", ".xml", ".robot", ".tsv", ".yaml", ".yml")
PICTURES = {".png": b"\x89PNG", ".jpg": b"\xff\xd8\xff", ".jpeg": b"\xff\xd8\xff"}
ARCHIVES = (b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b", b"7z\xbc\xaf", b"Rar!", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
RESERVED = {"con", "prn", "aux", "nul", *(f"{device}{n}" for device in ("com", "lpt") for n in range(1, 10))}
DAMAGED = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError, ValueError, OverflowError)


def unpack(content: bytes) -> dict[str, bytes]:
    """The files of a bundle, in the order of the zip. Raises Refused, naming the first thing that is wrong."""
    if len(content) > MAX_ZIP:
        raise refuse("zip_large", f"{MAX_ZIP >> 20} MB")
    files = _read(content)
    for name, data in files.items():
        _check_kind(name, data)
    return files


def _read(content: bytes, inside: str = "") -> dict[str, bytes]:
    """The files of one zip; `inside` names the office file that it is, for which the same limits hold."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except DAMAGED as error:
        raise refuse("office_unreadable" if inside else "zip_not", inside, inside or None) from error
    with archive:
        entries = archive.infolist()
        if len(entries) > MAX_FILES:
            raise refuse("zip_files", str(MAX_FILES))
        for entry in entries:
            _check_entry(entry)
        _check_names([entry.filename for entry in entries])
        _check_layout(entries, len(content), inside)
        return _content(archive, entries)


def _check_entry(entry: zipfile.ZipInfo) -> None:
    """A plain file with an ordinary relative name, of an honest size, packed in a common way."""
    name, parts = entry.filename, entry.filename.rstrip("/").split("/")
    if name != entry.orig_filename or name.startswith("/") or "\\" in name or ":" in name or {"..", "", "."} & set(parts):
        raise refuse("zip_path", entry.orig_filename)
    odd = any(unicodedata.category(letter)[0] == "C" or letter in "\u2024\u2025\u2044\u2215\uff0e\uff0f" for letter in name)
    if odd or name != unicodedata.normalize("NFC", name) or any(part != part.rstrip(" .") or part.split(".")[0].lower() in RESERVED for part in parts):
        raise refuse("zip_name", name)
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind and not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
        raise refuse("zip_link", name)
    if entry.flag_bits & 0x41:
        raise refuse("zip_encrypted", name)
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise refuse("zip_damaged", name)
    if entry.file_size > MAX_FILE:
        raise refuse("zip_file_large", name)


def _check_names(names: Sequence[str]) -> None:
    """No two names that some file system takes for one, and no file where another has a folder."""
    seen: set[str] = set()
    for name in names:
        folded = unicodedata.normalize("NFKC", name.rstrip("/")).casefold()
        if folded in seen:
            raise refuse("zip_same_name", name)
        seen.add(folded)
    files = {unicodedata.normalize("NFKC", name).casefold() for name in names if not name.endswith("/")}
    for name in names:
        for parent in PurePosixPath(unicodedata.normalize("NFKC", name.rstrip("/")).casefold()).parents:
            if parent.as_posix() in files:
                raise refuse("zip_same_name", name)


def _check_layout(entries: Sequence[zipfile.ZipInfo], size: int, inside: str) -> None:
    """Each entry has bytes of its own: entries that share them are how a small zip becomes endless. Nothing lies before the first."""
    end = 0
    for entry in sorted(entries, key=lambda one: one.header_offset):
        if entry.header_offset < end or (end == 0 and entry.header_offset != 0):
            raise refuse("zip_damaged", entry.filename, inside or None)
        end = entry.header_offset + 30 + len(entry.orig_filename.encode("utf-8", "surrogateescape")) + entry.compress_size
    if end > size:
        raise refuse("zip_damaged", entries[-1].filename, inside or None)


def _content(archive: zipfile.ZipFile, entries: Sequence[zipfile.ZipInfo]) -> dict[str, bytes]:
    """Read all, counting: a zip bomb lies about its size. The zip module compares each check sum."""
    total, files = 0, {}
    for entry in entries:
        if entry.is_dir():
            continue
        pieces = []
        try:
            with archive.open(entry) as stream:
                while piece := stream.read(1 << 16):
                    total += len(piece)
                    if total > MAX_UNPACKED:
                        raise refuse("zip_unpacked", f"{MAX_UNPACKED >> 20} MB")
                    pieces.append(piece)
        except Refused:
            raise
        except DAMAGED as error:
            raise refuse("zip_damaged", entry.filename) from error
        files[entry.filename] = b"".join(pieces)
    return files


def _check_kind(name: str, data: bytes) -> None:
    """Texts, tables, Word, Excel and pictures, each what its name says; no archive, except an office file of the same honest build."""
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in OFFICE:
        _read(data, name)
    elif data.startswith(ARCHIVES):
        raise refuse("file_archive", name, name)
    elif suffix in PICTURES:
        if not data.startswith(PICTURES[suffix]):
            raise refuse("file_disguised", name, name)
    elif suffix not in TEXTS:
        raise refuse("file_kind", name, name)
    elif b"\x00" in data or data.startswith((b"\x7fELF", b"MZ", b"#!")):
        raise refuse("file_disguised", name, name)
