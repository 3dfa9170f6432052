"""Members as operators see and find them, on pages and over the API."""

import pytest
from flask import Flask
from sqlalchemy import event

from core.db import SYSTEM, db, transaction
from core.ids import new_id
from membership import members
from membership.entity_models import LegalEntity
from tests.factories import AT, ENTITY, make_entity, make_member
from tests.foreign import a_subscription
from tests.sign_in import bearer, client_as


def create(**given: object):
    make_entity()
    with transaction(SYSTEM) as session:
        return members.create(given.pop("name", "新会员"), session.get_one(LegalEntity, ENTITY), at=AT, **given)  # type: ignore[arg-type]


def test_numbers_are_counted_up(app: Flask) -> None:
    assert [create().number, create(number="M00041").number, create().number] == ["M00001", "M00041", "M00042"]
    with pytest.raises(members.NumberTaken):
        create(number="M00041")
    with pytest.raises(members.Invalid):
        create(size="huge")
    with pytest.raises(members.Invalid):
        create(name="  ")


def test_search_takes_names_numbers_and_signs_as_they_are(app: Flask) -> None:
    create(name="蓝月商贸", name_en="Blue Moon"), create(name="100%达", industry="education"), create(name="百分百")
    for word, expected in (("蓝月", 1), ("blue", 1), ("m0000", 3), ("100%", 1), ("%", 1), ("_", 0), ("", 3), ("nothing", 0)):
        with transaction(SYSTEM):
            assert members.count(members.Wanted(search=word)) == expected, word
    with transaction(SYSTEM):
        assert members.count(members.Wanted(industry="education", size="small", state="active")) == 1
        assert members.count(members.Wanted(product_line="crm")) == 0


def test_the_api_pages_through_all_members(app: Flask) -> None:
    made = [create(name=f"会员{n}").number for n in range(5)]
    client, headers = app.test_client(), bearer("csm")
    seen, after = [], None
    while True:
        page = client.get("/api/v1/members", query_string={"limit": 2, **({"after": after} if after else {})}, headers=headers).json
        seen += [m["number"] for m in page["items"]]
        after = page["next"]
        if after is None:
            break
    assert seen == made
    assert client.get("/api/v1/members?after=nonsense", headers=headers).status_code == 400
    assert client.get("/api/v1/members?limit=0", headers=headers).status_code == 422
    assert client.get(f"/api/v1/members/{new_id()}", headers=headers).status_code == 404
    found = client.get(f"/api/v1/members/{make_member(name='一个').id}", headers=headers).json
    assert found["name"] == "一个"


@pytest.mark.parametrize("path", ["/operator/members", "/operator/audit", "/operator/api-keys"])
def test_pages_cost_the_same_with_one_or_twenty_rows(app: Flask, path: str) -> None:
    client = client_as(app, "operator")

    def queries() -> int:
        statements: list[str] = []
        listen = lambda _c, _k, statement, *_more: statements.append(statement)  # noqa: E731
        event.listen(db.engine, "before_cursor_execute", listen)
        try:
            assert client.get(path).status_code == 200
        finally:
            event.remove(db.engine, "before_cursor_execute", listen)
        return len(statements)

    def one_more() -> None:
        member = make_member()
        a_subscription(member)
        client.post("/operator/api-keys", data={"name": "k", "role": "buyer", "member": member.number})

    one_more()
    few = queries()
    for _ in range(12):
        one_more()
    assert queries() == few <= 12


def test_the_member_page_and_the_status_page(app: Flask) -> None:
    member = make_member(name="蓝月商贸")
    a_subscription(member)
    client = client_as(app, "operator")
    page = client.get(f"/operator/members/{member.id}?lang=zh").text
    assert "蓝月商贸" in page
    assert "入门版" in page
    assert client.get("/operator/status").status_code == 200


def test_audit_filters(app: Flask) -> None:
    client = client_as(app, "operator")
    client.post("/operator/api-keys", data={"name": "k", "role": "operator", "member": ""})
    assert "新建 API 密钥" in client.get("/operator/audit?action=api_key&role=operator&since=2020-01-01&until=2099-01-01").text
    assert "新建 API 密钥" not in client.get("/operator/audit?until=2020-01-01").text
    assert "新建 API 密钥" not in client.get("/operator/audit?action=member.").text
    assert '<option value="member.create" selected>Member created</option>' in client.get("/operator/audit?action=member.create&lang=en").text
    reversed_days = client.get("/operator/audit?since=2026-05-02&until=2026-05-01&lang=en")
    assert reversed_days.status_code == 422
    assert "The period must begin before its end." in reversed_days.text
    assert client.get("/operator/audit?since=2026/5/1&until=2026年5月1日").status_code == 200, "one day is a period, in any spelling"
    answer = client.get("/operator/audit?since=yesterday")
    assert answer.status_code == 422
    assert 'href="#f-since"' in answer.text
