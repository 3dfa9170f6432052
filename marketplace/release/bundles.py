"""Bundles: a listing's folder as one zip whose bytes depend on nothing but the files in it.

The same folder gives the same bytes on every machine and in every year, so a bundle's sha256 names its content: names are sorted,
time stamps and permissions are fixed, and the files are stored, not compressed (compressors differ between versions).

A folder holds `listing.json` (what the store shows and sells) and `checks.json` (the signed records of its checks), which are not part of
the bundle; `manifest.json` (what the bundle declares about itself), the payload, `README.md`, `sample/` and `expected/`.
`showcase/schema.json` describes the listing and the manifest.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from core.errors import Invalid

SHOWCASE = Path(__file__).parents[1] / "showcase"
NOT_BUNDLED = ("listing.json", "checks.json")
EARLIEST = (1980, 1, 1, 0, 0, 0)  # the first instant a zip can name
PLAIN_FILE = 0o100644 << 16  # a regular file, rw-r--r--, as a zip's external attributes hold it
MADE_ON_UNIX = 3


class BundleInvalid(Invalid):
    """The folder can't be made into a bundle."""

    code = "bundle_invalid"


@dataclass(frozen=True)
class Bundle:
    """A built artifact. `sha256` is the lower-case hex digest of `content`."""

    filename: str
    content: bytes
    sha256: str
    manifest: dict[str, Any]


@dataclass(frozen=True)
class ShowcaseListing:
    """A listing of the demo store, as its `listing.json` says, with the folder that `build` makes the bundle from.

    `price_minor` is in minor units of `currency`, with or without tax as `excludes_tax` says; `*_bp` are basis points. `required_rank` 0 admits every member,
    1 to 4 are edition ranks. `automates` are the (feature, action) steps that one run saves the user.
    """

    slug: str
    kind: str
    category: str
    name_zh: str
    name_en: str
    summary_zh: str
    summary_en: str
    description_zh: str
    description_en: str
    price_minor: int
    currency: str
    tax_rate_bp: int | None  # None: the seller's
    excludes_tax: bool | None  # None: stated as the company states its prices when this one is put on sale
    pricing: str
    period: str | None
    trial_days: int  # 0: no trial
    licensed_per: str  # member | seat
    repeatable: bool
    bonus_limit_bp: int
    required_rank: int
    product_line: str | None
    required_features: tuple[str, ...]
    minutes_saved_per_run: int
    automates: tuple[tuple[str, str], ...]
    publisher: str
    version: str
    permissions: tuple[str, ...]
    release_notes_zh: str
    release_notes_en: str
    folder: Path


@cache
def schema(name: str) -> Draft202012Validator:
    """A validator of one of the two JSON files: `listing` or `manifest`."""
    whole = json.loads((SHOWCASE / "schema.json").read_text("utf-8"))
    return Draft202012Validator({"$schema": whole["$schema"], "$ref": f"#/$defs/{name}", "$defs": whole["$defs"]})


def _declared(folder: Path, name: str) -> dict[str, Any]:
    """The folder's `{name}.json`, checked against its schema. Raises `BundleInvalid`."""
    try:
        content = json.loads((folder / f"{name}.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BundleInvalid(f"{folder.name}/{name}.json can't be read: {type(error).__name__}") from error
    if wrong := next(schema(name).iter_errors(content), None):
        raise BundleInvalid(f"{folder.name}/{name}.json at {wrong.json_path}: {wrong.message}", field=wrong.json_path)
    return dict(content)


def files_of(folder: Path) -> dict[str, bytes]:
    """The files that go into a folder's bundle, by name. Raises `BundleInvalid` for a link."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in _payload(folder)}


def _payload(folder: Path) -> list[Path]:
    """The files that go into the bundle, sorted by name. Raises `BundleInvalid` for links, which could carry foreign files in."""
    found = []
    for path in folder.rglob("*"):
        inside = path.relative_to(folder)
        if any(part.startswith(".") or part == "__pycache__" for part in inside.parts) or inside.as_posix() in NOT_BUNDLED:
            continue
        if path.is_symlink():
            raise BundleInvalid(f"{folder.name}/{inside.as_posix()} is a link")
        if path.is_file():
            found.append(path)
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def named(manifest: Mapping[str, Any]) -> list[str]:
    """The files and folders that a manifest speaks of. A service has none."""
    entry = [manifest["entry"]] if "entry" in manifest else []
    return entry + [case[part] for case in manifest.get("cases", []) for part in ("input", "expected")]


def build(folder: Path) -> Bundle:
    """Make the bundle of one listing's folder.

    Raises `BundleInvalid` when the manifest is missing or wrong, names a file that is not there, or the folder holds a link.
    """
    manifest = _declared(folder, "manifest")
    for name in named(manifest):
        if not (folder / name).exists():
            raise BundleInvalid(f"{folder.name}/{name} is named in the manifest but missing", field="entry")
    return pack(manifest, files_of(folder))


def pack(manifest: dict[str, Any], files: Mapping[str, bytes]) -> Bundle:
    """The bundle of these files: the same files give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            member = zipfile.ZipInfo(name, EARLIEST)
            member.external_attr, member.create_system = PLAIN_FILE, MADE_ON_UNIX
            archive.writestr(member, files[name])
    content = buffer.getvalue()
    return Bundle(f"{manifest['slug']}-{manifest['version']}.zip", content, hashlib.sha256(content).hexdigest(), manifest)


def read_listing(folder: Path) -> ShowcaseListing:
    """One folder's `listing.json`. Raises `BundleInvalid` when it does not say what the schema asks for."""
    declared = _declared(folder, "listing")
    left_out = {"tax_rate_bp": None, "excludes_tax": None, "trial_days": 0, "licensed_per": "member"}
    values = left_out | {field.name: declared[field.name] for field in fields(ShowcaseListing) if field.name in declared}
    for name in ("required_features", "permissions"):
        values[name] = tuple(values[name])
    values["automates"] = tuple((feature, action) for feature, action in values["automates"])
    return ShowcaseListing(**values, folder=folder)


def load_showcase() -> list[ShowcaseListing]:
    """All listings of the demo store, sorted by slug."""
    return [read_listing(path.parent) for path in sorted(SHOWCASE.glob("*/listing.json"))]


def load_updates() -> list[ShowcaseListing]:
    """Later versions of listings of the demo store, for which some members' copies wait."""
    return [read_listing(path.parent) for path in sorted(SHOWCASE.glob("updates/*/listing.json"))]
