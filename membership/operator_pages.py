"""The operator's console: members, API keys, what staff did, and how the machinery is."""

import uuid
from datetime import datetime, timedelta
from typing import Any

from flask import Blueprint, current_app, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from marshmallow import ValidationError
from sqlalchemy import or_, select

from core import audit, clock, jobs, typed
from core.access import requires
from core.actor import actor
from core.audit import AuditEntry
from core.db import transaction
from core.errors import AppError
from core.formats import in_zone
from core.paging import Page, keyset
from core.schedule import entries
from membership import api_keys, audit_fields, audit_words, catalogue, job_words, machinery, member_facts, members, users
from membership.models import ApiKey, Member
from membership.schemas import ApiKeyForm
from membership.subscription_models import Subscription

operator = Blueprint("operator", __name__, url_prefix="/operator")
operator.add_app_template_filter(job_words.words_of, "job_words")


@operator.app_context_processor
def _words() -> dict[str, Any]:
    return {
        "industry_name": member_facts.industry_name, "industry_names": member_facts.INDUSTRY_NAMES, "size_names": member_facts.SIZE_NAMES,
        "sales_cycle_names": member_facts.SALES_CYCLE_NAMES, "channel_names": member_facts.CHANNEL_NAMES,
    }  # fmt: skip


@operator.get("/members")
@requires("operator")
def list_members() -> ResponseReturnValue:
    """Members by number, with search and filters."""
    given = request.args
    wanted = members.Wanted(
        search=given.get("q", ""), state=given.get("state", ""), industry=given.get("industry", ""), size=given.get("size", ""),
        product_line=given.get("line", ""), rank=given.get("rank", type=_rank),
    )  # fmt: skip
    with transaction(actor()) as db_session:
        page: Page[Member] = keyset(db_session, members.matching(wanted), [Member.number], given.get("after"), descending=False)
        total = members.count(wanted)
        running = members.running_of([member.id for member in page.items])
        editions = catalogue.all_editions()
        lines = {line.code: line for line in catalogue.product_lines()}
        industries = members.industries()
    return render_template(
        "operator/members.html",
        page=page,
        total=total,
        running=running,
        editions=editions,
        lines=lines,
        industries=industries,
        is_filtered=wanted != members.Wanted(),
    )


@operator.get("/members/<uuid:member_id>")
@requires("operator")
def show_member(member_id: uuid.UUID) -> ResponseReturnValue:
    """One member: its facts, people, subscriptions and keys."""
    with transaction(actor()) as db_session:
        member = members.find(member_id)
        people, csm = users.team(member_id), member_facts.csm_of(member)
        subscriptions = db_session.scalars(select(Subscription).where(Subscription.member_id == member_id).order_by(Subscription.started_at.desc())).all()
        keys = db_session.scalars(select(ApiKey).where(ApiKey.member_id == member_id).order_by(ApiKey.created_at.desc())).all()
        editions = catalogue.all_editions()
        lines = {line.code: line for line in catalogue.product_lines()}
    return render_template(
        "operator/member.html", member=member, people=people, state_of=users.state, csm=csm, subscriptions=subscriptions, keys=keys, editions=editions,
        lines=lines,
    )  # fmt: skip


@operator.get("/api-keys")
@requires("operator")
def list_api_keys() -> ResponseReturnValue:
    """Every key, and the form for a new one."""
    return _render_keys({})


@operator.post("/api-keys")
@requires("operator")
def create_api_key() -> ResponseReturnValue:
    """Make a key; its secret is shown once, on the next page."""
    at = clock.now()
    try:
        form = ApiKeyForm().load(request.form)
        with transaction(actor()):
            owner = members.find_by_number(form["member"]) if form["member"].strip() else None
            key, secret = api_keys.create(form["name"], form["role"], owner.id if owner else None, at=at, created_by=actor().user_id)
            audit.record("api_key.create", key.prefix, at=at, member_id=key.member_id, after={"name": key.name, "role": key.role})
    except ValidationError as error:
        return _render_keys(request.form, error.messages_dict), 422
    except AppError as error:
        return _render_keys(request.form, error.fields), error.status
    return _render_keys({}, fresh=secret), 201


@operator.post("/api-keys/<uuid:key_id>/revocation")
@requires("operator")
def revoke_api_key(key_id: uuid.UUID) -> ResponseReturnValue:
    """End a key."""
    at = clock.now()
    with transaction(actor()):
        key = api_keys.revoke(key_id, at=at)
        audit.record("api_key.revoke", key.prefix, at=at, member_id=key.member_id)
    flash(_("The key %(prefix)s… is revoked. It stops working within five seconds.", prefix=key.prefix), "success")
    return redirect(url_for("operator.list_api_keys"), 303)


@operator.get("/audit")
@requires("operator")
def list_audit() -> ResponseReturnValue:
    """What staff did, the newest first."""
    given = request.args
    statement = select(AuditEntry)
    errors: dict[str, str] = {}
    bounds: dict[str, datetime] = {}
    if action := given.get("action", "").strip():
        statement = statement.where(AuditEntry.action.startswith(action, autoescape=True))
    if word := given.get("q", "").strip():
        statement = statement.where(or_(AuditEntry.actor_name.icontains(word, autoescape=True), AuditEntry.subject.icontains(word, autoescape=True)))
    if role := given.get("role", ""):
        statement = statement.where(AuditEntry.actor_role == role)
    for name, days in (("since", 0), ("until", 1)):
        try:
            bound = _day(given.get(name, ""))
        except ValueError:
            errors[name] = _("Enter a day as 2026-06-30.")
            continue
        if bound is not None:
            edge = bounds[name] = bound + timedelta(days=days)
            statement = statement.where(AuditEntry.at >= edge if name == "since" else AuditEntry.at < edge)
    if len(bounds) == 2 and bounds["since"] >= bounds["until"]:
        errors["since"] = _("The period must begin before its end.")
    subjects = [("", _("All")), *sorted(((f"{code}.", str(word)) for code, word in audit_words.SUBJECTS.items()), key=lambda one: one[1])]
    if action not in dict(subjects):  # a link may ask for one action
        subjects.append((action, audit_words.words_of(action)))
    with transaction(actor()) as db_session:
        page: Page[AuditEntry] = keyset(db_session, statement, [AuditEntry.at, AuditEntry.id], given.get("after"), 50)
        numbers = _numbers_of(page.items)
        currencies = members.currencies(numbers)
    return render_template(
        "operator/audit.html",
        page=page,
        numbers=numbers,
        errors=errors or None,
        words_of=audit_words.words_of,
        changes={entry.id: audit_fields.changes(entry, currencies.get(entry.member_id) if entry.member_id else None) for entry in page.items},
        subjects=subjects,
        is_filtered=any(given.get(n) for n in ("action", "q", "role", "since", "until")),
    ), 422 if errors else 200


@operator.get("/status")
@requires("operator")
def status() -> ResponseReturnValue:
    """Whether everything runs, and what waits."""
    with transaction(actor()):
        waiting = machinery.backlog(clock.now())
    queue = machinery.queues(jobs.QUEUES, jobs.connection)
    return render_template(
        "operator/status.html", waiting=waiting, queue=queue, schedule=entries(current_app), at=clock.now(), queue_names=job_words.QUEUES
    )  # fmt: skip


def _render_keys(form: Any, errors: Any = None, fresh: str | None = None) -> str:
    statement = select(ApiKey)
    if not request.args.get("all"):
        statement = statement.where(ApiKey.revoked_at.is_(None))
    with transaction(actor()) as db_session:
        page: Page[ApiKey] = keyset(db_session, statement, [ApiKey.created_at, ApiKey.id], request.args.get("after"))
        numbers = _numbers_of(page.items)
    return render_template("operator/api_keys.html", page=page, numbers=numbers, form=form, errors=errors, fresh=fresh, roles=api_keys.ROLES)


def _numbers_of(rows: list[Any]) -> dict[uuid.UUID, str]:
    """The numbers of the members that rows speak of."""
    wanted = {row.member_id for row in rows if row.member_id}
    return members.numbers(wanted) if wanted else {}


def _day(text: str) -> datetime | None:
    """The beginning of a day in the reader's zone. Raises ValueError."""
    if not text.strip():
        return None
    day = datetime.strptime(typed.date(text), "%Y-%m-%d")  # noqa: DTZ007 (the zone follows)
    if not 1900 <= day.year < 9000:
        raise ValueError("time zones have no place to go")
    return day.replace(tzinfo=in_zone(clock.now()).tzinfo)


def _rank(text: str) -> int:
    """An edition's rank. Raises ValueError."""
    rank = int(text)
    if not 1 <= rank <= 4:
        raise ValueError(text)
    return rank
