"""What the operator notes about a member is changed on a page or over the API, on record with what was there before; number and currency stay."""

import uuid
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Engine, text

from core.ids import new_id
from tests.factories import make_member, make_user
from tests.sign_in import bearer, client_as

FACTS = {"name": "蓝月商贸", "name_en": "", "industry": "media", "size": "large", "sales_cycle": "long", "channel": "agent", "csm_id": ""}


def stored(owner: Engine, member_id: uuid.UUID) -> dict[str, Any]:
    with owner.connect() as connection:
        return dict(connection.execute(text("select * from member where id = :id"), {"id": member_id}).mappings().one())


def trail(owner: Engine) -> list[Any]:
    with owner.connect() as connection:
        return list(connection.execute(text("select action, subject, member_id, before, after from audit_entry order by at, id")).all())


def test_a_form_changes_them_and_the_trail_says_what_was(app: Flask, owner: Engine) -> None:
    member, csm = make_member(name="旧名"), make_user("csm")
    client = client_as(app, "operator")
    page = client.get(f"/operator/members/{member.id}/facts?lang=en").text
    assert 'value="旧名"' in page
    assert member.number in page
    answer = client.post(f"/operator/members/{member.id}/facts", data=FACTS | {"csm_id": str(csm.id), "number": "M9", "currency": "USD"})
    assert (answer.status_code, answer.location) == (303, f"/operator/members/{member.id}")
    now = stored(owner, member.id)
    assert (now["name"], now["name_en"], now["industry"], now["csm_id"]) == ("蓝月商贸", None, "media", csm.id)
    assert (now["number"], now["currency"]) == (member.number, "CNY")
    (entry,) = trail(owner)
    assert (entry.action, entry.subject, entry.member_id) == ("member.update", member.number, member.id)
    assert entry.before == {
        "name": "旧名",
        "name_en": "Test member",
        "industry": "retail",
        "size": "small",
        "sales_cycle": "short",
        "channel": "direct",
        "csm": None,
    }
    assert entry.after == {**{name: FACTS[name] for name in ("name", "industry", "size", "sales_cycle", "channel")}, "name_en": None, "csm": csm.email}
    client.post(f"/operator/members/{member.id}/facts", data=FACTS | {"csm_id": str(csm.id)})
    assert len(trail(owner)) == 1  # nothing changed, nothing is recorded
    assert csm.name in client.get(f"/operator/members/{member.id}").text


@pytest.mark.parametrize(
    "other", [{"name": ""}, {"name": "长" * 101}, {"name_en": "x" * 101}, {"industry": "x"}, {"size": ""}, {"csm_id": "x"}, {"csm_id": str(new_id())}]
)
def test_what_is_wrong_stands_beside_its_field(app: Flask, owner: Engine, other: dict[str, str]) -> None:
    member = make_member()
    before = stored(owner, member.id)
    answer = client_as(app, "operator").post(f"/operator/members/{member.id}/facts", data=FACTS | other)
    assert answer.status_code == 422
    assert f'href="#f-{next(iter(other))}"' in answer.text
    assert 'value="蓝月商贸"' in answer.text or "name" in other
    assert (stored(owner, member.id), trail(owner)) == (before, [])


def test_who_looks_after_it_may_have_left_and_an_old_industry_stays(app: Flask, owner: Engine) -> None:
    member, gone = make_member(), make_user("csm", name="走了的人")
    with owner.begin() as connection:
        connection.execute(text("update app_user set disabled_at = now() where id = :id"), {"id": gone.id})
        connection.execute(text("update member set csm_id = :csm, industry = 'fishing' where id = :id"), {"csm": gone.id, "id": member.id})
    client = client_as(app, "operator")
    page = client.get(f"/operator/members/{member.id}/facts").text
    assert "走了的人" in page
    assert "fishing" in page
    sent = FACTS | {"csm_id": str(gone.id), "industry": "fishing"}
    assert client.post(f"/operator/members/{member.id}/facts", data=sent).status_code == 303
    assert client.post(f"/operator/members/{make_member().id}/facts", data=sent).status_code == 422


def test_over_the_api_what_is_left_out_stays(app: Flask, owner: Engine) -> None:
    member, csm = make_member(name="旧名"), make_user("csm")
    api, headers, path = app.test_client(), bearer("operator"), f"/api/v1/members/{member.id}"
    answer = api.patch(path, json={"size": "large", "csm_id": str(csm.id)}, headers=headers)
    assert answer.status_code == 200
    assert (answer.json["size"], answer.json["csm_id"], answer.json["name"], answer.json["industry"]) == ("large", str(csm.id), "旧名", "retail")
    assert api.patch(path, json={"csm_id": None}, headers=headers).json["csm_id"] is None
    assert [entry.before for entry in trail(owner)] == [{"size": "small", "csm": None}, {"csm": csm.email}]
    assert api.patch(path, json={}, headers=headers).status_code == 200
    for body, field in (({"number": "M9"}, "number"), ({"currency": "USD"}, "currency"), ({"name": ""}, "name"), ({"name": " "}, "name"),
                        ({"name": None}, "name"), ({"industry": "x"}, "industry"), ({"csm_id": str(new_id())}, "csm_id")):  # fmt: skip
        wrong = api.patch(path, json=body, headers=headers)
        assert (wrong.status_code, wrong.json["errors"][0]["field"]) == (422, field)
    assert api.patch(f"/api/v1/members/{new_id()}", json={"size": "large"}, headers=headers).status_code == 404
    assert api.patch(path, json={"size": "small"}, headers=bearer("csm")).status_code == 403
    assert stored(owner, member.id)["size"] == "large"
