"""The review queue: versions that wait, what they change, how they were checked, and the decision."""

from datetime import timedelta

from flask import Blueprint, Response, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from marshmallow import ValidationError

from core.access import requires
from core.actor import actor
from core.clock import now
from core.db import db, transaction
from marketplace.checks import jobs, records, words
from marketplace.order import bundle_terms
from marketplace.publisher.publisher_models import Publisher
from marketplace.release import approvals, lifecycle, submissions, term_sheets
from marketplace.release.version_models import Artifact, ListingVersion
from marketplace.sandbox import box
from marketplace.store import contents
from marketplace.store.store_schemas import RejectForm

review = Blueprint("review", __name__)
review.context_processor(words.for_templates)
AUTO_APPROVED_DAYS = 7


@review.get("/review")
@requires("reviewer", "operator")
def queue() -> ResponseReturnValue:
    """Versions in review, the one promised first at the top; and what was released without a person."""
    at = now()
    with transaction(actor()):
        waiting = submissions.queue()
        return render_template(
            "review/queue.html", waiting=waiting, at=at, late=[one for one in waiting if one.due_at < at], missing=box.unavailable(),
            released=approvals.auto_approved(at - timedelta(days=AUTO_APPROVED_DAYS)), broken=approvals.no_longer_pass(), days=AUTO_APPROVED_DAYS,
        )  # fmt: skip


@review.get("/review/<slug>/<number>")
@requires("reviewer", "operator")
def show_version(slug: str, number: str) -> ResponseReturnValue:
    """One version: permission changes first, then manifest, libraries, replay, files and log."""
    return _page(slug, number)


def _page(slug: str, number: str, *, errors: object = None, form: dict[str, str] | None = None, status: int = 200) -> ResponseReturnValue:
    with transaction(actor()):
        version, listing = submissions.find_waiting(slug, number)
        before = approvals.version_before(listing, version)
        added, removed = submissions.permission_change(version, before)
        inside, earlier = contents.of(version.sha256), contents.of(before.sha256) if before else None
        checks, checks_before = records.of(version), records.of(before) if before else []
        libraries, libraries_before = approvals.libraries(checks), approvals.libraries(checks_before)
        page = render_template(
            "review/version.html", version=version, listing=listing, before=before, added=added, removed=removed, inside=inside, at=now(), checks=checks,
            libraries=sorted(libraries), new_libraries=libraries - libraries_before if before else set(), why_not=approvals.why_not(checks),
            look_at=approvals.needs_person(version, before, checks, checks_before), history=lifecycle.history(version),
            diffs=contents.text_changes(_content(version), _content(before) if before else None),
            files=contents.file_changes(inside, earlier), facts_changed=contents.manifest_changes(inside, earlier),
            publisher=db.session.get(Publisher, listing.publisher_id), due_at=version.created_at + submissions.PROMISE, errors=errors, form=form or {},
            sheet=term_sheets.sheet_of(version), sheet_before=term_sheets.sheet_of(before),
            shares=bundle_terms.of_sheet(term_sheets.sheet_of(version), at=now()),
            progress=words.progress(version.state, checks),
        )  # fmt: skip
    return page, status


def _content(version: ListingVersion) -> bytes:
    artifact = db.session.get(Artifact, version.sha256)
    assert artifact is not None
    return artifact.content


@review.get("/review/<slug>/<number>/bundle")
@requires("reviewer", "operator")
def download(slug: str, number: str) -> ResponseReturnValue:
    """The bundle as it was handed in, to be read before it is decided on."""
    with transaction(actor()):
        version, _listing = submissions.find_waiting(slug, number)
        content = _content(version)
    headers = {"Content-Disposition": f'attachment; filename="{slug}-{number}.zip"', "ETag": f'"{version.sha256}"'}
    return Response(content, mimetype="application/zip", headers=headers)


@review.post("/review/<slug>/<number>/checks")
@requires("reviewer", "operator")
def check_again(slug: str, number: str) -> ResponseReturnValue:
    """Have a waiting version checked again: the sandbox has come back, or a library has changed."""
    with transaction(actor()):
        version, listing = submissions.find_open(slug, number)
        submissions.record_recheck(listing, version, at=now())
    jobs.enqueue(version.listing_id, number)
    flash(_("%(slug)s %(number)s is checked again.", slug=slug, number=number), "success")
    return redirect(url_for("review.show_version", slug=slug, number=number))


@review.post("/review/<slug>/<number>/approval")
@requires("reviewer", "operator")
def approve(slug: str, number: str) -> ResponseReturnValue:
    """Release the version."""
    with transaction(actor()):
        submissions.approve(slug, number, at=now())
    flash(_("%(slug)s %(number)s is on sale; those who have an older one see the update.", slug=slug, number=number), "success")
    return redirect(url_for("review.queue"))


@review.post("/review/<slug>/<number>/rejection")
@requires("reviewer", "operator")
def reject(slug: str, number: str) -> ResponseReturnValue:
    """Send the version back, with what is wrong and how to mend it."""
    try:
        form = RejectForm().load(request.form.to_dict())
    except ValidationError as error:
        return _page(slug, number, errors=error.messages, form=request.form.to_dict(), status=422)
    parts = [form["reason"], _("File: %(file)s", file=form["file"]) if form["file"] else "", _("Fix: %(fix)s", fix=form["fix"])]
    with transaction(actor()):
        submissions.reject(slug, number, "\n".join(part for part in parts if part), at=now())
    flash(_("%(slug)s %(number)s went back to its publisher with your reason.", slug=slug, number=number), "success")
    return redirect(url_for("review.queue"))
