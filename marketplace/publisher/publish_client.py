"""`python -m marketplace.publisher.publish_client DIR`: check a folder with the store's own code, and hand it in.

The folder holds what a bundle holds (docs/publishing.md) and `listing.json`, from which a new listing is begun and a draft brought up to date.
What needs a sandbox is left to the server where this machine has none. Exit status: 0 handed in and passed, 1 refused, 2 could not be tried.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
from flask import Flask
from flask_babel import gettext as _

from core import i18n
from marketplace.checks import pipeline, words
from marketplace.publisher.publish_remote import Problem, Store
from marketplace.release import bundles
from marketplace.sandbox import box
from marketplace.sandbox.limits import Limits

OK, REFUSED, NOT_TRIED = 0, 1, 2
POLL_S = 1.0
SAME = ("category", "name_zh", "name_en", "summary_zh", "summary_en", "description_zh", "description_en", "pricing", "price_minor", "period", "trial_days",
        "licensed_per",
        "product_line", "required_rank", "required_features", "automates")  # fmt: skip
RENAMED = {"repeatable": "is_repeatable", "minutes_saved_per_run": "minutes_saved"}  # as listing.json says it, as the API does


class CannotTry(Exception):
    """The folder, the address or the key is not usable; the sentence says why."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    given = _arguments(argv)
    app = Flask("publish", root_path=str(Path(__file__).parents[2]))
    app.config["BABEL_DEFAULT_LOCALE"] = given.lang
    i18n.init_app(app)
    with app.app_context():
        try:
            return publish(given)
        except Problem as problem:
            _say(problem.said)
            for field, detail in problem.fields.items():
                _say(f"    {field}: {detail}")
            return REFUSED if problem.status in (409, 422) else NOT_TRIED
        except (CannotTry, httpx.HTTPError) as error:
            _say(str(error) if isinstance(error, CannotTry) else _("The store at %(url)s does not answer: %(why)s", url=given.url, why=str(error)))
            return NOT_TRIED


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="publish", description="Check a bundle's folder and publish it.")
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--url", default=os.environ.get("BACKOFFICE_URL") or "http://127.0.0.1:8000", help="the store (BACKOFFICE_URL)")
    parser.add_argument("--key", default=os.environ.get("BACKOFFICE_API_KEY", ""), help="a publisher's API key (better: BACKOFFICE_API_KEY)")
    parser.add_argument("--lang", choices=sorted(i18n.LANGUAGES), default="zh" if os.environ.get("LANG", "").startswith("zh") else "en")
    parser.add_argument("--dry-run", action="store_true", help="check here and hand nothing in")
    parser.add_argument("--keep-draft", action="store_true", help="do not submit a new listing to the reviewers")
    parser.add_argument("--timeout", type=int, default=900, metavar="SECONDS", help="how long to wait for the checks")
    return parser.parse_args(argv)


def publish(given: argparse.Namespace) -> int:
    """Check here, hand in, wait for the store's checks, submit."""
    files, listing = read(given.folder)
    content, manifest = packed(files)
    if not check_here(content, manifest.get("kind") or listing.get("kind", "")):
        _say(_("Not handed in: mend what is named above."))
        return REFUSED
    if given.dry_run:
        return OK
    if not given.key:
        raise CannotTry(_("Set BACKOFFICE_API_KEY to a publisher's API key, or give --key."))
    slug, number = str(manifest["slug"]), str(manifest["version"])
    with Store(given.url, given.key, given.lang) as store:
        state = bring_listing(store, slug, str(manifest["kind"]), listing)
        told, is_new = store.upload(slug, content, listing.get("release_notes_zh", ""), listing.get("release_notes_en", ""))
        said = _("Handed in: %(slug)s %(number)s", slug=slug, number=number) if is_new else _("Handed in before: %(slug)s %(number)s", slug=slug, number=number)
        _say(f"{said}  sha256 {told['version']['sha256']}")
        told = watch(store, slug, number, given.timeout)
        return conclude(store, slug, told, state, keep_draft=given.keep_draft)


def read(folder: Path) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The folder's files, and its `listing.json` (empty where there is none). Raises CannotTry."""
    if not folder.is_dir():
        raise CannotTry(_("%(folder)s is no folder.", folder=folder))
    try:
        files = bundles.files_of(folder)
        path = folder / "listing.json"
        listing = json.loads(path.read_text("utf-8")) if path.exists() else {}
    except (bundles.BundleInvalid, OSError, ValueError) as error:
        raise CannotTry(f"{folder.name}: {error}") from error
    if not isinstance(listing, dict):
        raise CannotTry(_("%(file)s is no JSON object.", file="listing.json"))
    return files, listing


def packed(files: Mapping[str, bytes]) -> tuple[bytes, dict[str, Any]]:
    """The deterministic zip, and the manifest as far as it can be read; the checks judge it."""
    try:
        manifest = json.loads(files.get("manifest.json", b"{}").decode("utf-8-sig"))
    except ValueError:
        manifest = {}
    manifest = manifest if isinstance(manifest, dict) else {}
    return bundles.pack({"slug": "bundle", "version": "0.0.0"}, files).content, manifest


def check_here(content: bytes, kind: str) -> bool:
    """All checks but the signature, on this machine; False where one failed."""
    missing = box.unavailable()
    if missing:
        _say(_("There is no sandbox here (%(why)s): what needs one is left to the store.", why=missing))
    _say(_("Checks on this machine"))

    def tell(record: pipeline.Record) -> None:
        if record.state not in (pipeline.RUNNING, pipeline.WAITING):
            is_left = record.state == pipeline.REFUSED
            findings = [] if is_left else [(one.where, one.rule, one.sentence, one.fix) for one in record.findings]
            _line(record.name, _("left to the store") if is_left else words.said(words.STATES[record.state][0]), findings)

    done = pipeline.Check(content, kind, Limits(), tell).run()
    return all(one.state != pipeline.FAILED for one in done)


def bring_listing(store: Store, slug: str, kind: str, listing: Mapping[str, Any]) -> str:
    """The listing's state, once it is there and, as a draft, says what `listing.json` says. Raises Problem, CannotTry."""
    wanted = {name: listing[name] for name in SAME if name in listing} | {new: listing[old] for old, new in RENAMED.items() if old in listing}
    known = store.listing(slug)
    if known is None:
        if not listing:
            raise CannotTry(_("You have no listing %(slug)s yet, and the folder no listing.json to begin it from.", slug=slug))
        store.create({**wanted, "slug": slug, "kind": kind})
        _say(_("Draft listing %(slug)s begun", slug=slug))
        return "draft"
    changes = {name: value for name, value in wanted.items() if known["listing"].get(name) != value}
    state = str(known["listing"]["state"])
    if changes and state == "draft":
        store.change(slug, changes)
        _say(_("Draft listing %(slug)s brought up to date: %(fields)s", slug=slug, fields=", ".join(changes)))
    elif changes:
        _say(_("listing.json differs in %(fields)s; a listing that is no draft stays as it is.", fields=", ".join(changes)))
    return state


def watch(store: Store, slug: str, number: str, timeout_s: int) -> dict[str, Any]:
    """Show each check as it ends, until all are over. Raises CannotTry where that takes too long."""
    _say(_("Checks of the store"))
    shown: set[str] = set()
    until = time.monotonic() + timeout_s
    while True:
        told = store.version(slug, number)
        for one in told["checks"]:
            if one["state"] not in (pipeline.WAITING, pipeline.RUNNING) and one["name"] not in shown:
                shown.add(one["name"])
                _line(one["name"], words.said(words.STATES[one["state"]][0]), [_finding(found) for found in one["findings"]])
        if told["progress"]["done"]:
            return told
        if time.monotonic() > until:
            raise CannotTry(_("The checks are not over yet; run the command again to see them, nothing is handed in twice."))
        time.sleep(POLL_S)


def conclude(store: Store, slug: str, told: Mapping[str, Any], listing_state: str, *, keep_draft: bool) -> int:
    """What became of the version, and the submission of a draft."""
    state, number = told["version"]["state"], told["version"]["number"]
    if state == "rejected":
        _say(_("%(slug)s %(number)s was not accepted. Mend it and take the next number.", slug=slug, number=number))
        if told["version"]["review_note"]:
            _say(told["version"]["review_note"])
        return REFUSED
    if listing_state == "draft" and not keep_draft:
        store.submit(slug)
        _say(_("%(slug)s %(number)s has passed and is submitted; a reviewer puts the listing on sale.", slug=slug, number=number))
    elif state == "published":
        _say(_("%(slug)s %(number)s is released.", slug=slug, number=number))
    elif listing_state == "draft":
        _say(_("%(slug)s %(number)s has passed; the listing stays a draft.", slug=slug, number=number))
    else:
        _say(_("%(slug)s %(number)s waits for a reviewer.", slug=slug, number=number))
    return OK


def _finding(found: Mapping[str, Any]) -> tuple[str, str, str, str]:
    line = f":{found['line']}" if found["line"] else ""
    return f"{found['file'] or ''}{line}", found["rule"], found["message"], found["fix"]


def _line(name: str, state: str, findings: Iterable[tuple[str, str, str, str]]) -> None:
    _say(f"  {name:<10} {state}")
    for where, rule, sentence, fix in findings:
        _say(f"    {where or '-'}  [{rule}]  {sentence}{'  → ' + fix if fix else ''}")


def _say(text: str) -> None:
    """One line for people; what is foreign in it can't move the cursor."""
    sys.stdout.write("".join(letter if letter.isprintable() else " " for letter in text) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
