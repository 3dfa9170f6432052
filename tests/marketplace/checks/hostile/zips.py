"""Zips that lie, hide or explode. Each is (name, bytes, the rule that refuses it); the check is `unpack`."""

import io
import stat
import struct
import zipfile
from collections.abc import Callable, Iterator

import pytest

from tests.marketplace.store_world import zip_of

Files = dict[str, bytes]


def _with(**extra: bytes) -> Callable[[Files], bytes]:
    return lambda files: zip_of({**files, **extra})


def _special(name: str, mode: int) -> Callable[[Files], bytes]:
    def change(files: Files) -> bytes:
        buffer = io.BytesIO(zip_of(files))
        with zipfile.ZipFile(buffer, "a") as archive:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            archive.writestr(entry, "/etc/passwd")
        return buffer.getvalue()

    return change


def _bomb(files: Files) -> bytes:
    """A hundred megabytes of nothing in a hundred kilobytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        for n in range(5):
            archive.writestr(f"sample/zeros-{n}.txt", bytes(20 << 20))
    return buffer.getvalue()


def _lying_size(files: Files) -> bytes:
    """One entry that claims ten bytes and unpacks to eighty megabytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        archive.writestr("sample/liar.txt", bytes(80 << 20))
    return buffer.getvalue().replace(struct.pack("<L", 80 << 20), struct.pack("<L", 10))


def _overlapping(files: Files) -> bytes:
    """Many entries that share the bytes of one: the central directory names the same place again and again."""
    content = zip_of({**files, "sample/a.txt": b"x" * 1000})
    end = content.rfind(b"PK\x05\x06")
    count, size, start = struct.unpack("<HLL", content[end + 10 : end + 20])
    directory = content[start:end]
    last = directory[directory.rfind(b"PK\x01\x02") :]
    again = b"".join(last.replace(b"sample/a.txt", f"sample/{chr(98 + n)}.txt".encode()) for n in range(20))
    total = struct.pack("<HHLL", count + 20, count + 20, size + len(again), start)
    return content[:end] + again + content[end : end + 8] + total + content[end + 20 :]


def _damaged(files: Files) -> bytes:
    content = bytearray(zip_of(files))
    content[content.find(b"***")] ^= 0xFF
    return bytes(content)


def _encrypted(files: Files) -> bytes:
    """The flag of encryption on every entry."""
    content = bytearray(zip_of(files))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = -1
        while (at := content.find(mark, at + 1)) >= 0:
            content[at + offset] |= 1
    return bytes(content)


def _twice(files: Files) -> bytes:
    buffer = io.BytesIO(zip_of(files))
    with zipfile.ZipFile(buffer, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("README.md", "again")
    return buffer.getvalue()


def _nul(files: Files) -> bytes:
    """A name that ends early for whoever reads it as C does."""
    return zip_of({**files, "README2.md#.robot": b"x"}).replace(b"README2.md#.robot", b"README2.md\x00.robot")


def _bzip(files: Files) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_BZIP2) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def corpus() -> Iterator[tuple[str, Callable[[Files], bytes], str]]:
    """Every hostile zip, made of a good bundle's files."""
    nested = zip_of({"inner.txt": b"x"})
    yield from [
        ("climbs out", _with(**{"../evil.txt": b"x"}), "zip_path"),
        ("climbs out from inside", _with(**{"sample/../../evil.txt": b"x"}), "zip_path"),
        ("is absolute", _with(**{"/etc/cron.d/evil": b"x"}), "zip_path"),
        ("climbs out on Windows", _with(**{"a\\..\\..\\evil.txt": b"x"}), "zip_path"),
        ("names a drive", _with(**{"C:/evil.txt": b"x"}), "zip_path"),
        ("hides behind a NUL", _nul, "zip_path"),
        ("turns its name around", _with(**{"sample/\u202etxt.exe": b"x"}), "zip_name"),
        ("uses a slash that only looks like one", _with(**{"sample\u2215evil.txt": b"x"}), "zip_name"),
        ("is not normalised", _with(**{"sample/cafe\u0301.txt": b"x"}), "zip_name"),
        ("is a device on Windows", _with(**{"sample/nul.txt": b"x"}), "zip_name"),
        ("ends with a dot", _with(**{"sample/evil.txt.": b"x"}), "zip_name"),
        ("is a symbolic link", _special("sample/link.txt", stat.S_IFLNK | 0o777), "zip_link"),
        ("is a device", _special("sample/dev.txt", stat.S_IFCHR | 0o666), "zip_link"),
        ("is a pipe", _special("sample/pipe.txt", stat.S_IFIFO | 0o666), "zip_link"),
        ("collides by case", _with(**{"readme.MD": b"x"}), "zip_same_name"),
        ("collides by width", _with(**{"ＲＥＡＤＭＥ.md": b"x"}), "zip_same_name"),
        ("is there twice", _twice, "zip_same_name"),
        ("is a file and a folder", _with(**{"README.md/evil.txt": b"x"}), "zip_same_name"),
        ("is a bomb", _bomb, "zip_unpacked"),
        ("lies about its size", _lying_size, "zip_damaged"),
        ("shares its bytes", _overlapping, "zip_damaged"),
        ("has too many files", _with(**{f"sample/{n}.txt": b"" for n in range(600)}), "zip_files"),
        ("is too large", lambda _files: bytes((16 << 20) + 1), "zip_large"),
        ("is no zip", lambda _files: b"MZ\x90\x00", "zip_not"),
        ("is cut off", lambda files: zip_of(files)[:-40], "zip_not"),
        ("has a wrong check sum", _damaged, "zip_damaged"),
        ("is encrypted", _encrypted, "zip_encrypted"),
        ("is packed in an uncommon way", _bzip, "zip_damaged"),
        ("begins with something else", lambda files: b"#!/bin/sh\nrm -rf /\n" + zip_of(files), "zip_damaged"),
        ("holds a zip", _with(**{"sample/inner.zip": nested}), "file_archive"),
        ("holds a zip under another name", _with(**{"sample/inner.txt": nested}), "file_archive"),
        ("holds a compressed file", _with(**{"sample/inner.gz": b"\x1f\x8b\x08\x00"}), "file_archive"),
        ("holds a program", _with(**{"tool.exe": b"MZ"}), "file_kind"),
        ("holds Python", _with(**{"helper.py": b"import os"}), "file_kind"),
        ("holds a program named text", _with(**{"sample/data.txt": b"\x7fELF\x02"}), "file_disguised"),
        ("holds a script named text", _with(**{"sample/data.txt": b"#!/bin/sh\n"}), "file_disguised"),
        ("holds a picture that is none", _with(**{"logo.png": b"<svg onload=alert(1)>"}), "file_disguised"),
        ("holds an office file that is a bomb", _with(**{"sample/book.xlsx": _bomb({})}), "zip_unpacked"),
        ("holds an office file that is none", _with(**{"sample/book.xlsx": b"plain"}), "office_unreadable"),
    ]  # fmt: skip
