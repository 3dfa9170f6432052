"""Signatures on artifacts: Ed25519 over the bundle's hash and its check records.

The installation's key lies under `var/` (or in `ARTIFACT_SIGNING_KEY`), made the first time; a key is named by the first half of the hash of
its public part, and each signature names its key: a new key signs from now on, old signatures stay good as long as their public key is
published. Keys that came with the product (the showcase was checked and signed before it was delivered) are in `showcase/keys.json`.
"""

import base64
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from marketplace.release import bundles

SHIPPED = bundles.SHOWCASE / "keys.json"
FOLDER = "artifact-keys"


Key = Ed25519PrivateKey


class BadSignature(Exception):
    """The signature does not fit, or its key is not one of ours."""


def public_bytes(key: Ed25519PrivateKey | Ed25519PublicKey) -> bytes:
    """The 32 bytes of a public key."""
    public = key.public_key() if isinstance(key, Ed25519PrivateKey) else key
    return public.public_bytes(Encoding.Raw, PublicFormat.Raw)


def id_of(public: bytes) -> str:
    """A key's name: 16 hex digits of the SHA-256 of its public part."""
    return hashlib.sha256(public).hexdigest()[:16]


def message(sha256: str, slug: str, version: str, checks: Sequence[Mapping[str, Any]]) -> bytes:
    """What is signed: canonical JSON of the artifact's hash, what it is released as, and the name and state of each check."""
    told = {"sha256": sha256, "slug": slug, "version": version, "checks": [[one["name"], one["state"]] for one in checks]}
    return json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def key_in(folder: Path) -> Ed25519PrivateKey:
    """The key that signs now: the newest in the folder, made the first time. Only its owner can read it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept = sorted(folder.glob("*.key"), key=lambda path: path.name)
    return from_text(kept[-1].read_text()) if kept else new_key(folder)


def new_key(folder: Path) -> Ed25519PrivateKey:
    """Make a key that signs from now on; older ones stay there for what they have signed."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = Ed25519PrivateKey.generate()
    number = len(list(folder.glob("*.key"))) + 1
    path = folder / f"{number:04}-{id_of(public_bytes(key))}.key"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(to_text(key))
    return key


def to_text(key: Ed25519PrivateKey) -> str:
    """A private key as one line of base64."""
    return base64.b64encode(key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())).decode()


def from_text(text: str) -> Ed25519PrivateKey:
    """A private key from its line of base64. Raises ValueError."""
    return Ed25519PrivateKey.from_private_bytes(base64.b64decode(text.strip(), validate=True))


def sign(key: Ed25519PrivateKey, content: bytes) -> tuple[str, str]:
    """(key id, signature in base64)."""
    return id_of(public_bytes(key)), base64.b64encode(key.sign(content)).decode()


def verify(public: bytes, signature: str, content: bytes) -> None:
    """Raises BadSignature unless the signature was made by that key over exactly this."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(base64.b64decode(signature, validate=True), content)
    except (InvalidSignature, ValueError) as error:
        raise BadSignature("the signature does not fit") from error


@cache
def shipped_keys() -> dict[str, bytes]:
    """Public keys that came with the product, by id."""
    told = json.loads(SHIPPED.read_text("utf-8")) if SHIPPED.exists() else {}
    return {key_id: base64.b64decode(public) for key_id, public in told.items() if id_of(base64.b64decode(public)) == key_id}
