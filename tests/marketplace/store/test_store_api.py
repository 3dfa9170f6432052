"""The store for machines."""

import hashlib

import pytest

from core.db import SYSTEM, transaction
from core.ids import new_id
from marketplace.license.license_models import Download
from marketplace.order import orders, orders_api
from marketplace.order.orders_api import OrderOut
from tests.factories import AT, make_member
from tests.marketplace.store_world import CRM_ONLY, FREE, PACK, buy, open_store, price_of, set_listing, subscribe
from tests.sign_in import bearer

KEYS = {
    "slug", "name_zh", "name_en", "summary_zh", "summary_en", "kind", "category", "price_minor", "excludes_tax", "currency", "pricing", "period",
    "version", "required_rank", "product_line", "required_features", "is_repeatable", "minutes_saved", "rating", "publisher", "compatible", "updated_at",
    "host_version", "licensed_per",
}  # fmt: skip


@pytest.fixture
def client(app, shelf):
    shelf.take("the whole store", open_store)
    return app.test_client()


@pytest.fixture
def member(client):
    return make_member(paid=100_000)


@pytest.fixture
def key(member):
    return bearer("buyer", member)


def test_listings_page_by_cursor(client, key):
    seen, after = [], None
    while True:
        answer = client.get("/api/v1/listings", query_string={"limit": 10, **({"after": after} if after else {})}, headers=key).json
        seen += [item["slug"] for item in answer["items"]]
        after = answer["next"]
        if not after:
            break
    assert len(seen) == len(set(seen)) == 25


def test_a_listing_says_everything_that_decides_a_purchase(client, key, member):
    (item,) = client.get("/api/v1/listings?q=用量包", headers=key).json["items"]
    assert set(item) == KEYS
    assert (item["slug"], item["price_minor"], item["currency"], item["is_repeatable"], item["compatible"]) == (PACK, price_of(PACK), "CNY", True, True)
    assert item["rating"] == {"average": None, "count": 0}
    assert item["publisher"]["code"] == "vendor"


def test_compatible_is_for_the_keys_member(client, key, member):
    def compatible(headers):
        return client.get(f"/api/v1/listings/{CRM_ONLY}", headers=headers).json["compatible"]

    assert compatible(key) is False
    subscribe(member, "crm", 2)
    assert compatible(key) is True
    assert compatible(bearer("operator")) is None
    assert CRM_ONLY not in [i["slug"] for i in client.get("/api/v1/listings?usable=true&limit=200", headers=bearer("buyer", make_member())).json["items"]]


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "kind=nonsense", "price=9", "sort=zz", "stars=9", "q=" + "x" * 300])
def test_wrong_queries_are_told(client, key, query):
    answer = client.get(f"/api/v1/listings?{query}", headers=key)
    assert answer.status_code == 422
    assert answer.content_type == "application/problem+json"
    assert answer.json["errors"]


def test_a_bad_cursor_is_a_problem(client, key):
    assert client.get("/api/v1/listings?after=rubbish", headers=key).json["code"] == "bad_cursor"


def test_details_hold_versions_and_permissions(client, key):
    one = client.get(f"/api/v1/listings/{FREE}", headers=key).json
    assert one["permissions"] == ["contact:read", "contact:write"]
    assert [(v["number"], v["state"], len(v["sha256"])) for v in one["versions"]] == [("1.0.0", "published", 64)]


@pytest.mark.parametrize(
    ("state", "status", "listed"), [("deprecated", 200, False), ("draft", 404, False), ("in_review", 404, False), ("archived", 404, False)]
)
def test_hidden_states(client, key, state, status, listed):
    set_listing(FREE, state=state)
    assert client.get(f"/api/v1/listings/{FREE}", headers=key).status_code == status
    assert (FREE in [i["slug"] for i in client.get("/api/v1/listings?limit=200", headers=key).json["items"]]) is listed


def test_bought_through_the_api_downloaded_through_the_api(client, key, member):
    from core.ids import new_id

    order = {"id": str(new_id()), "price_minor": 0}
    assert client.post(f"/api/v1/listings/{FREE}/orders", json=order, headers=key).status_code == 201
    (listed,) = client.get("/api/v1/orders", headers=key).json["items"]
    assert (listed["id"], listed["listing"], listed["total_minor"], listed["state"]) == (order["id"], FREE, 0, "completed")
    (license,) = client.get("/api/v1/licenses", headers=key).json["items"]
    assert (license["id"], license["listing"], license["installed_version"], license["newest_version"]) == (order["id"], FREE, None, "1.0.0")
    answer = client.get(f"/api/v1/licenses/{order['id']}/artifact", headers=key)
    digest = client.get(f"/api/v1/listings/{FREE}", headers=key).json["versions"][0]["sha256"]
    assert hashlib.sha256(answer.data).hexdigest() == digest
    assert answer.headers["ETag"] == f'"{digest}"'
    assert answer.content_type == "application/zip"
    assert client.get("/api/v1/licenses", headers=key).json["items"][0]["installed_version"] == "1.0.0"
    assert client.get(f"/api/v1/licenses/{order['id']}/artifact?version=7.7.7", headers=key).status_code == 404


def test_what_belongs_to_others_is_not_there(client, key, member):
    foreign = buy(make_member(), FREE)
    assert client.get("/api/v1/orders", headers=key).json["items"] == []
    assert client.get("/api/v1/licenses", headers=key).json["items"] == []
    assert client.get(f"/api/v1/licenses/{foreign}/artifact", headers=key).status_code == 404
    with transaction(SYSTEM) as session:
        assert session.query(Download).count() == 0


def test_orders_page_by_cursor(client, key, member):
    from datetime import timedelta

    from tests.factories import AT

    ids = [str(buy(member, PACK, at=AT + timedelta(minutes=n))) for n in range(5)]
    for path in ("orders", "licenses"):
        first = client.get(f"/api/v1/{path}?limit=3", headers=key).json
        second = client.get(f"/api/v1/{path}", query_string={"limit": 3, "after": first["next"]}, headers=key).json
        assert [i["id"] for i in first["items"] + second["items"]] == ids[::-1]
        assert second["next"] is None


@pytest.mark.parametrize("path", ["listings", "listings/usage-pack", "orders", "licenses", "licenses/01a20a17-860c-74e5-93a8-1dae0d9ecc15/artifact"])
def test_a_key_is_needed(client, path):
    assert client.get(f"/api/v1/{path}").status_code == 401


@pytest.mark.parametrize(
    ("role", "path", "status"), [("finance", "orders", 403), ("operator", "licenses", 403), ("operator", "listings", 200), ("finance", "listings", 200)]
)
def test_roles(client, role, path, status):
    assert client.get(f"/api/v1/{path}", headers=bearer(role)).status_code == status


def test_the_document_describes_them(client):
    paths = client.get("/api/v1/openapi.json").json["paths"]
    listing = paths["/api/v1/listings"]["get"]
    assert {"q", "kind", "category", "price", "edition", "usable", "stars", "updated_since", "sort", "after", "limit"} == {
        p["name"] for p in listing["parameters"]
    }
    assert "application/zip" in paths["/api/v1/licenses/{license_id}/artifact"]["get"]["responses"]["200"]["content"]


def test_the_answer_to_a_purchase_is_what_its_schema_makes(app):
    placed = orders.Placed(new_id(), "x", "1.0.0", 2, 100, 190, 11, "CNY", 150, 40, 0, 7, AT, False, 10)
    with app.test_request_context():
        answer = orders_api._answer(placed)
    assert answer.status_code == 201
    assert answer.mimetype == "application/json"
    assert answer.json == OrderOut().dump(placed)
