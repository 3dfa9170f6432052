"""Running what was bought: on the member's own input, in the sandbox of the checks, by a job.

A run is the version that a download would hand out, checked by its hash. It counts as use (the outbox tells the room above) when it
succeeds; one that fails is recorded with why and its log, and counts as nothing.
"""

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import Any

from flask_babel import gettext as _
from jsonschema import Draft202012Validator
from referencing import Registry
from sqlalchemy import func, select, text
from sqlalchemy.orm import defer

from billing.wallet.wallets import HoldClosed, WalletFrozen
from core import outbox
from core.actor import actor
from core.db import db
from core.errors import Conflict, Forbidden, IdReused, Invalid, NotFound
from core.ids import request_hash
from core.settings import Settings
from core.texts import is_storable
from marketplace.checks.findings import Finding, read
from marketplace.checks.manifest import LONGEST_VALUE
from marketplace.copy import copies
from marketplace.license import licenses
from marketplace.license.license_models import License
from marketplace.order import usage_charges
from marketplace.release import lifecycle
from marketplace.release.version_models import Artifact, ListingVersion
from marketplace.run.run_models import Run, RunFile
from marketplace.sandbox import box

TOPIC = "run.succeeded"
KINDS = frozenset({"robot_task", "text_template", "document_template", "spreadsheet_template", "data_mapping", "form_schema"})
OPEN = ("queued", "running")
UNPAID = "run_unpaid"


class CannotRun(Conflict):
    """This can't be run here or now; the sentence says why."""

    code = "cannot_run"


class TooManyRuns(Conflict):
    """The member's limit is reached."""

    status, code = 429, "too_many_runs"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A run as asked for. `id` is the client's; without `content` the bundle's own sample is run."""

    id: uuid.UUID
    parameters: Mapping[str, Any]
    filename: str = ""
    content: bytes | None = None


def parameters_of(manifest: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, Any]:
    """A form's texts as the manifest's parameters say; what is left out keeps its default. Raises Invalid by field."""
    found: dict[str, Any] = {}
    for name, schema in manifest["parameters"]["properties"].items():
        value = given.get(name, "").strip()
        found[name] = _typed(value, schema["type"]) if value else schema["default"]
    if long := [name for name, value in found.items() if isinstance(value, str) and len(value) > LONGEST_VALUE]:
        raise Invalid(_("Check the parameters."), fields={f"p-{name}": _("At most %(n)s characters.", n=LONGEST_VALUE) for name in long})
    validator = Draft202012Validator(manifest["parameters"], registry=Registry())
    wrong = {str(error.path[0]) if error.path else "": error.message[:200] for error in validator.iter_errors(found)}
    unstorable = {
        name: _("This text holds characters that cannot be stored.") for name, value in found.items() if isinstance(value, str) and not is_storable(value)
    }
    if wrong | unstorable:
        fields = {f"p-{name}": str(said) for name, said in (wrong | unstorable).items()}
        raise Invalid(_("Check the parameters."), fields=fields)
    return found


def _typed(value: str, kind: str) -> Any:
    """A number or truth value where one is meant and can be read; the text itself otherwise, which the schema then refuses."""
    if kind in ("integer", "number"):
        try:
            return int(value) if kind == "integer" else float(value)
        except ValueError:
            return value
    return value.lower() in ("1", "true", "yes", "on") if kind == "boolean" else value


def runnable(owned: licenses.Owned) -> copies.Copy | None:
    """What a run would take: the member's edited copy, else the version that a download would hand out; None for what can't be run."""
    return copies.in_use(owned) if owned.listing.kind in KINDS else None


def request(member_id: uuid.UUID, license_id: uuid.UUID, wanted: Wanted, settings: Settings, *, at: datetime, by: uuid.UUID | None, by_name: str) -> Run:
    """Put a run in line. Replaying the id returns the first run. Raises NotFound, LicenseEnded, NoSeat, Quarantined, CannotRun, TooManyRuns, IdReused.

    Where the price is by use, the run's price is set aside: raises CapReached, InsufficientFunds, WalletFrozen.
    """
    digest = hashlib.sha256(wanted.content).hexdigest() if wanted.content is not None else ""
    request_id = request_hash("run", license_id=license_id, parameters=dict(wanted.parameters), content=digest)
    first = db.session.get(Run, (member_id, wanted.id))
    if first is not None:
        if first.request_hash != request_id:
            raise IdReused(_("This id was used for another request."))
        return first
    owned = licenses.owned(member_id, license_id)
    licenses.check(owned.license, at)
    if not licenses.may_run(owned.license, actor()):
        raise Forbidden(_("You may look, but not run it. Ask an owner or a buyer of your organisation."))
    copy = runnable(owned)
    if copy is None:
        raise CannotRun(_("This cannot be run here; download it instead."))
    lifecycle.check_usable(owned.listing, copy.version)
    reason = box.unavailable()
    if reason is not None:
        raise CannotRun(_("There is no sandbox on this machine: %(what)s", what=reason))
    _check_limits(member_id, settings, at)
    hold = usage_charges.reserve(owned.license, wanted.id, at=at, by=by)
    run = Run(
        member_id=member_id, id=wanted.id, request_hash=request_id, license_id=license_id, listing_id=owned.listing.id, version=copy.version.number,
        sha256=copies.bundle(copy).sha256 if copy.is_edited else copy.version.sha256, copy_n=copy.n if copy.is_edited else None, kind=owned.listing.kind,
        state="queued", parameters=dict(wanted.parameters), hold_id=hold.id if hold else None, requested_by=by, requested_by_name=by_name, progress=None,
        steps=0, failure=None, log="", took_ms=None, queued_at=at, started_at=None, finished_at=None,
    )  # fmt: skip
    db.session.add(run)
    db.session.flush()
    if wanted.content is not None:
        name = PurePosixPath(wanted.filename.replace("\\", "/")).name[:120] or "input"
        content = wanted.content
        db.session.add(RunFile(member_id=member_id, run_id=run.id, direction="input", n=0, name=name, size=len(content), content=content))
    return run


def _check_limits(member_id: uuid.UUID, settings: Settings, at: datetime) -> None:
    """At once and within 24 hours. Requests of one member wait for each other here, so that two can't both take the last place."""
    db.session.execute(text("select pg_advisory_xact_lock(hashtextextended('run ' || :member, 0))"), {"member": str(member_id)})
    under_way, today = db.session.execute(
        select(func.count().filter(Run.state.in_(OPEN)), func.count()).where(Run.member_id == member_id, Run.queued_at > at - timedelta(days=1))
    ).one()
    if under_way >= settings.runs_at_once:
        raise TooManyRuns(_("%(n)s of your runs are under way; wait until one has ended.", n=under_way))
    if today >= settings.runs_per_day:
        raise TooManyRuns(_("Your organisation has had %(n)s runs within 24 hours, which is the limit.", n=today))


@dataclass(frozen=True, slots=True)
class Work:
    """What a job needs of a run, read in one transaction and used outside it."""

    kind: str
    content: bytes
    parameters: dict[str, Any]
    input_name: str | None
    input_content: bytes | None


def begin(member_id: uuid.UUID, run_id: uuid.UUID, *, at: datetime) -> Work | None:
    """Take a run in line; None where somebody else has. Raises AssertionError for a bundle that was changed."""
    run = db.session.get(Run, (member_id, run_id), with_for_update=True)
    if run is None or run.state != "queued":
        return None
    content = _content(run)
    assert hashlib.sha256(content).hexdigest() == run.sha256, f"bundle {run.sha256} was changed"
    given = db.session.get(RunFile, (member_id, run_id, "input", 0))
    run.state, run.started_at = "running", at
    return Work(run.kind, content, run.parameters, given.name if given else None, given.content if given else None)


def _content(run: Run) -> bytes:
    """The bundle that was asked for: the publisher's, or the member's copy as it was then."""
    if run.copy_n is None:
        return db.session.scalars(select(Artifact.content).where(Artifact.sha256 == run.sha256)).one()
    license = db.session.get_one(License, (run.member_id, run.license_id))
    version = db.session.get_one(ListingVersion, (run.listing_id, run.version))
    return copies.bundle(copies.at_step(license, version, run.copy_n)).content


def note_progress(member_id: uuid.UUID, run_id: uuid.UUID, words: str) -> None:
    """Where a run is."""
    run = db.session.get(Run, (member_id, run_id))
    if run is not None and run.state == "running":
        run.progress, run.steps = (words if is_storable(words) else None), run.steps + 1


def finish(member_id: uuid.UUID, run_id: uuid.UUID, outcome: box.Outcome, failure: Finding | None, *, at: datetime) -> None:
    """Keep what came out, and tell of a run that succeeded. A run that was given up meanwhile stays so."""
    run = db.session.get(Run, (member_id, run_id), with_for_update=True)
    if run is None or run.state != "running":
        return
    log = str(outcome.report.get("log", ""))[:100_000].replace("\x00", "")
    failure = _settled(run, failure, at)
    run.log = log if is_storable(log) else log.encode("utf-8", "backslashreplace").decode()
    run.state, run.finished_at, run.took_ms, run.progress = "failed" if failure else "succeeded", at, round(outcome.took_s * 1000), None
    run.failure = failure.stored() if failure else None
    for n, (name, content) in enumerate(outcome.files.items() if not (failure and failure.rule == UNPAID) else ()):
        db.session.add(RunFile(member_id=member_id, run_id=run_id, direction="output", n=n, name=name, size=len(content), content=content))
    if not failure:
        slug = db.session.scalar(text("select slug from listing where id = :id"), {"id": run.listing_id})
        payload = {"run_id": str(run_id), "listing_id": str(run.listing_id), "slug": slug, "took_ms": run.took_ms, "finished_at": at.isoformat()}
        outbox.publish(TOPIC, payload, at=at, member_id=member_id)


def _settled(run: Run, failure: Finding | None, at: datetime) -> Finding | None:
    """Charge a run that succeeded, give back what was set aside for one that failed; a run that can't be paid for any more has failed."""
    if run.hold_id is None:
        return failure
    if failure is None:
        try:
            usage_charges.settle(run.member_id, run.hold_id, run.license_id, run.version, at=at, by=run.requested_by)
            return None
        except (HoldClosed, WalletFrozen):
            failure = Finding(UNPAID)
    usage_charges.release(run.member_id, run.hold_id, at=at)
    return failure


def give_up_lost(before: datetime, *, at: datetime) -> int:
    """Runs whose worker is gone have failed, and cost nothing. Returns how many."""
    lost = db.session.scalars(
        select(Run).where(Run.state == "running", Run.started_at < before).options(defer(Run.log)).with_for_update(skip_locked=True)
    ).all()
    for run in lost:
        run.state, run.finished_at, run.progress, run.failure = "failed", at, None, Finding("run_lost").stored()
        if run.hold_id is not None:
            usage_charges.release(run.member_id, run.hold_id, at=at)
    return len(lost)


def find(member_id: uuid.UUID, run_id: uuid.UUID) -> Run:
    """A member's run. Raises NotFound for anybody else's."""
    found = db.session.scalar(select(Run).where(Run.member_id == member_id, Run.id == run_id))
    if found is None:
        raise NotFound(_("You have no such run."))
    return found


def files(run: Run) -> list[RunFile]:
    """What went in and what came out, without the content."""
    mine = (RunFile.member_id == run.member_id, RunFile.run_id == run.id)
    return list(db.session.scalars(select(RunFile).where(*mine).order_by(RunFile.direction, RunFile.n).options(defer(RunFile.content))))


def file(member_id: uuid.UUID, run_id: uuid.UUID, direction: str, n: int) -> RunFile:
    """One file with its content. Raises NotFound, also for what was put away."""
    found = db.session.get(RunFile, (member_id, run_id, direction, n))
    if found is None or found.content is None:
        raise NotFound(_("This file is not kept any more."))
    return found


def latest(member_id: uuid.UUID, license_id: uuid.UUID, limit: int = 10) -> Sequence[Run]:
    """The latest runs of a licence, newest first."""
    mine = select(Run).where(Run.member_id == member_id, Run.license_id == license_id).options(defer(Run.log))
    return db.session.scalars(mine.order_by(Run.queued_at.desc(), Run.id).limit(limit)).all()


def failure_of(run: Run) -> Finding | None:
    """Why a run failed, for people."""
    return read(run.failure) if run.failure else None


@dataclass(frozen=True, slots=True)
class Figures:
    """How a listing runs at its buyers."""

    runs: int
    failed: int
    median_ms: int | None


def figures(listing_id: uuid.UUID, since: datetime) -> Figures:
    """Runs since then; runs as whoever asks, and a publisher may ask for its own listings only."""
    row = db.session.execute(
        select(
            func.count(), func.count().filter(Run.state == "failed"), func.percentile_disc(0.5).within_group(Run.took_ms)
        ).where(Run.listing_id == listing_id, Run.queued_at >= since, Run.copy_n.is_(None))  # an edited copy says nothing about the publisher's
    ).one()  # fmt: skip
    return Figures(int(row[0]), int(row[1]), int(row[2]) if row[2] is not None else None)
