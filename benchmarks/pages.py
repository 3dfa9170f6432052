"""Server time of every page with the demo world, as the role it is for: from the request to the last byte, in process."""

import statistics
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import urlencode

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, text

from benchmarks.figures import figure, tell
from benchmarks.stage import stage
from core import access
from core.db import SYSTEM, transaction
from membership import sessions
from membership.authentication import TOKEN
from membership.models import User
from operations.demo import world

MEMBERS, EVENTS, TIMES, GOAL_MS = 200, 500_000, 15, 60.0
ROLES = ("owner", "finance", "csm", "operator", "reviewer", "publisher")  # in which order a page finds its reader
NOT_SHOWN = (301, 302, 303, 404, 409, 422)  # moved on, not there, not possible for what was picked, or in want of parameters
NOT_PAGES = ("static", "health.", "api-docs.")

# One well-filled thing for each kind of id in a path: what the busiest member has.
SAMPLES = {
    "member_id": "select member_id from store_order group by 1 order by count(*) desc, 1 limit 1",
    "slug": "select l.slug from listing l join store_order o on o.listing_id = l.id group by 1 order by count(*) desc, 1 limit 1",
    "license_id": "select id from license where member_id = :member order by starts_at desc limit 1",
    "order_id": "select id from store_order where member_id = :member order by at desc limit 1",
    "subscription_id": "select id from subscription where member_id = :member and state = 'active' limit 1",
    "top_up_id": "select id from top_up where member_id = :member order by created_at desc limit 1",
    "user_id": "select id from app_user where member_id = :member and role <> 'owner' limit 1",
    "number": "select current_version from listing order by slug limit 1",
}


class _Silent:
    """Loading tells its steps only."""

    def begin(self, what: str, total: int) -> None:
        tell(f"{what} ({total:,})")

    def advance(self, units: int) -> None:
        """Not shown."""

    def end(self) -> None:
        """Not shown."""


def _samples() -> dict[str, str]:
    with transaction(SYSTEM) as session:
        found: dict[str, str] = {"member_id": str(session.scalar(text(SAMPLES["member_id"])))}
        for name, query in SAMPLES.items():
            value = session.scalar(text(query), {"member": found["member_id"]}) if ":member" in query else session.scalar(text(query))
            if value is not None:
                found[name] = str(value)
        return found


def _browsers(app: Flask, member_id: str) -> dict[str, FlaskClient]:
    """Somebody of each role, signed in; the owner is the busiest member's."""
    browsers = {}
    for role in ROLES:
        with transaction(SYSTEM) as session:
            wanted = select(User).where(User.role == role).order_by(User.member_id != member_id, User.created_at, User.id).limit(1)
            user = session.scalars(wanted).one()
            token = sessions.open_session(user.id, "benchmark", at=datetime.now(UTC), days=1)
        browsers[role] = app.test_client()
        with browsers[role].session_transaction() as cookie:
            cookie[TOKEN] = token
    return browsers


def _pages(app: Flask, samples: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    """Name, role and path of every page that can be asked for by itself."""
    with app.test_request_context():
        adapter = app.create_url_adapter(None) or app.url_map.bind("localhost")
        for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
            named = rule.endpoint.endswith(NOT_PAGES[0]) or rule.endpoint.startswith(NOT_PAGES[1:])
            if "GET" not in (rule.methods or ()) or rule.rule.startswith("/api/") or named or not rule.arguments <= samples.keys():
                continue
            role = next((role for role in ROLES if role in access.allowed(app, rule.endpoint)), None)
            if role:
                yield rule.endpoint.replace(".", "_"), role, adapter.build(rule.endpoint, {name: samples[name] for name in rule.arguments})


def measure() -> None:
    """Print page_<endpoint>_ms for each page: the median of some visits after the first."""
    with stage() as on:
        app = on.start()
        app.config["WTF_CSRF_ENABLED"] = False
        with app.app_context():
            world.load(MEMBERS, EVENTS, _Silent())
            samples = _samples()
            browsers = _browsers(app, samples["member_id"])
        on.psql("-c", "vacuum analyze")
        times: dict[str, list[float]] = {}
        pages = list(_pages(app, samples))
        for visit in range(TIMES + 1):
            for name, role, path in pages:
                began = time.perf_counter()
                answer = browsers[role].get(path + "?" + urlencode({"lang": "zh"}), buffered=True)
                took_ms = (time.perf_counter() - began) * 1000
                if answer.status_code in NOT_SHOWN or answer.mimetype != "text/html":
                    if not visit:
                        tell(f"{name}: {answer.status_code} {answer.mimetype}, not measured")
                    continue
                assert answer.status_code == 200, f"{path} as {role}: {answer.status_code}"
                if visit:
                    times.setdefault(name, []).append(took_ms)
        for name, found in sorted(times.items(), key=lambda item: -statistics.median(item[1])):
            figure(f"page_{name}_ms", found, GOAL_MS, most=True)
