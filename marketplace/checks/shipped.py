"""Signed records that travel with the showcase, so that a fresh store opens at once and is still only filled with what was checked.

`checks.json` beside a listing's `manifest.json` holds hash, records and signature; the public key is in `showcase/keys.json`. A bundle
that has changed since, by a single byte, does not fit its record and is not published before it is checked and signed again.
"""

import base64
import json
from pathlib import Path
from typing import Any

from marketplace.checks import pipeline, signing
from marketplace.release import bundles
from marketplace.sandbox.limits import Limits


def read(folder: Path, bundle: bundles.Bundle) -> dict[str, Any]:
    """The record that came with a bundle: sha256, checks, key_id, signature. Raises BundleInvalid where it does not fit."""
    path = folder / "checks.json"
    try:
        told: dict[str, Any] = json.loads(path.read_text("utf-8"))
        public = signing.shipped_keys()[told["key_id"]]
        if told["sha256"] != bundle.sha256:
            raise signing.BadSignature("the bundle has changed since")
        signing.verify(public, told["signature"], _message(bundle, told["checks"]))
    except (OSError, ValueError, KeyError, signing.BadSignature) as error:
        raise bundles.BundleInvalid(f"{folder.name}: its checks are not recorded or do not fit ({error}); run flask store check-showcase") from error
    if [one["name"] for one in told["checks"]] != list(pipeline.names(bundle.manifest["kind"]))[:-1] or any(one["state"] != "passed" for one in told["checks"]):
        raise bundles.BundleInvalid(f"{folder.name}: not all checks have passed; run flask store check-showcase")
    return told


def _message(bundle: bundles.Bundle, checks: list[dict[str, Any]]) -> bytes:
    return signing.message(bundle.sha256, bundle.manifest["slug"], bundle.manifest["version"], checks)


def make(folder: Path, key: signing.Key, limits: Limits) -> list[pipeline.Record]:
    """Check one bundle and, where all has passed, write its signed record. Returns the records."""
    bundle = bundles.build(folder)
    check = pipeline.Check(bundle.content, bundle.manifest["kind"], limits)
    records = check.run()
    if all(one.state == pipeline.PASSED for one in records):
        told = [{"name": one.name, "state": one.state, **({"detail": {"libraries": check.libraries}} if one.name == "policy" else {})} for one in records]
        key_id, signature = signing.sign(key, _message(bundle, told))
        content = {"sha256": bundle.sha256, "checks": told, "key_id": key_id, "signature": signature}
        (folder / "checks.json").write_text(json.dumps(content, indent=2) + "\n", "utf-8")
    return records


def publish_key(key: signing.Key) -> None:
    """Add the key's public part to those that come with the product."""
    known = json.loads(signing.SHIPPED.read_text("utf-8")) if signing.SHIPPED.exists() else {}
    public = signing.public_bytes(key)
    known[signing.id_of(public)] = base64.b64encode(public).decode()
    signing.SHIPPED.write_text(json.dumps(known, indent=2) + "\n", "utf-8")
    signing.shipped_keys.cache_clear()
