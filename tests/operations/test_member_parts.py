"""What the folded parts of a member's page say of themselves."""

import re
from datetime import timedelta

from flask import Flask
from flask.testing import FlaskClient

from core.clock import now
from membership.models import Member
from tests.factories import make_member, make_user
from tests.operations.factories import make_listing, make_offer, make_order, make_subscription
from tests.operations.test_worklist import rolled, use
from tests.sign_in import client_as


def notes(client: FlaskClient, member: Member, lang: str) -> dict[str, str]:
    """The line of each part."""
    page = client.get(f"/csm/members/{member.id}?lang={lang}").text
    return {found[2]: found[1] for found in re.finditer(r'<span class="muted">([^<]*)</span>.*?</summary>\s*<section id="(\w+)"', page, re.S)}


def test_a_member_of_whom_nothing_is_known(app: Flask) -> None:
    member = make_member()
    assert notes(client_as(app, "csm"), member, "en") == {
        "opportunities": "none found", "offers": "none yet", "use": "none yet", "money": "no subscription", "apps": "none yet", "timeline": "none yet",
        "people": "none yet",
    }  # fmt: skip


def test_a_member_with_some_of_everything(app: Flask) -> None:
    member, at = make_member(), now()
    make_user("owner", member)
    make_subscription(member, at=at, ends_in_days=100)
    make_order(member, make_listing("owned"), at=at)
    make_offer(member, make_listing("offered"), at=at)
    make_offer(member, make_listing("over"), at=at - timedelta(days=40))
    use(member, [0, 1, 2], at=at)
    rolled(at)
    client = client_as(app, "csm")
    told, chinese = notes(client, member, "en"), notes(client, member, "zh")
    assert told["offers"] == "1 waits for an answer · 2 in all"
    assert told["use"] == "active on 3 of 28 days"
    assert re.fullmatch(r"CRM \w+ until \d{4}-\d\d-\d\d", told["money"])
    assert (told["apps"], told["people"]) == ("1 app", "1 person")
    assert re.match(r"\d{4}-\d\d-\d\d · ", told["timeline"])
    assert chinese["offers"] == "1 条待答复 · 共 2 条"
    assert (chinese["use"], chinese["people"]) == ("28 天中活跃 3 天", "1 人")
