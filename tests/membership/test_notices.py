"""Notices: told once, in the reader's language."""

import pytest
from flask import Flask
from flask_babel import force_locale

from core.actor import Actor
from core.db import SYSTEM, transaction
from membership import mailboxes, notices
from membership.notice_models import Notice
from tests.factories import AT, make_member
from tests.sign_in import client_as

DETAILS = {
    "name_zh": "客户云", "name_en": "Customer Cloud", "edition_zh": "专业版", "edition_en": "Professional", "amount_minor": 1_234_00, "missing_minor": 34_00,
    "bonus_minor": 50_00, "currency": "CNY", "until": "2026-07-01", "at": "2026-06-30T20:00:00+00:00", "reason": "card declined", "csm": "李娜", "seats": 7,
}  # fmt: skip


def test_a_key_is_told_once(app: Flask) -> None:
    one, other = make_member(), make_member()
    with transaction(SYSTEM):
        assert notices.tell(one.id, "top_up_settled", DETAILS, at=AT, key="top-up-1")
        assert not notices.tell(one.id, "top_up_settled", {"amount_minor": 9}, at=AT, key="top-up-1")
        assert notices.tell(other.id, "top_up_settled", DETAILS, at=AT, key="top-up-1")
    with transaction(SYSTEM):
        assert mailboxes.of_member(one.id).unread() == 1
        assert notices.list_newest(one.id)[0].details["amount_minor"] == 1_234_00


def test_a_member_may_tell_itself(app: Flask) -> None:
    member = make_member()
    with transaction(Actor(kind="member", role="owner", member_id=member.id)):
        assert notices.tell(member.id, "seats_changed", DETAILS, at=AT, key="k")
        assert not notices.tell(member.id, "seats_changed", DETAILS, at=AT, key="k")


@pytest.mark.parametrize("kind", notices.KINDS)
def test_every_kind_reads_well_in_both_languages(app: Flask, kind: str) -> None:
    for details in (DETAILS, {}):
        said = {}
        for lang in ("en", "zh"):
            with app.test_request_context(), force_locale(lang):
                said[lang] = notices.sentence(Notice(kind=kind, details=details))
                assert "%(" not in said[lang]
                assert "None" not in said[lang]
        assert said["en"] != said["zh"], "not translated"
        assert any("\u4e00" <= c <= "\u9fff" for c in said["zh"])
        assert not any("\u4e00" <= c <= "\u9fff" for c in said["en"].replace("李娜", ""))


def test_the_day_is_the_readers(app: Flask) -> None:
    with app.test_request_context(), force_locale("en"):
        said = notices.sentence(Notice(kind="subscription_ended", details=DETAILS))
    assert said == "Customer Cloud ended on 2026-07-01."  # 20:00 UTC is the next morning in Shanghai


def test_read_and_counted_in_the_shell(app: Flask) -> None:
    member = make_member()
    client = client_as(app, "viewer", member)
    with transaction(SYSTEM):
        for n in range(3):
            notices.tell(member.id, "top_up_settled", DETAILS, at=AT, key=str(n))
    page = client.get("/notices?lang=en").text
    assert "3 notices are new." in page
    assert '<span class="count">3' in page
    place = page.split('action="/notices/')[2].split('"')[0]
    assert client.post(f"/notices/{place}").status_code == 303
    assert "2 notices are new." in client.get("/notices").text
    client.post("/notices/reading")
    assert "Nothing new." in client.get("/notices").text
    assert '<span class="count">' not in client.get("/notices").text
