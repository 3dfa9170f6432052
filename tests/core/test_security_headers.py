"""Headers of every answer, compression, cached assets, and the navigation that the shell prints."""

from __future__ import annotations

import gzip

import pytest
from flask import Flask
from flask.testing import FlaskClient

from core import navigation
from core.security_headers import asset, policy
from tests.browser.gallery import create_gallery


@pytest.fixture(scope="module")
def app() -> Flask:
    return create_gallery()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def test_policy_allows_only_our_own(client: FlaskClient) -> None:
    headers = client.get("/").headers
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert "Strict-Transport-Security" not in headers
    assert "Strict-Transport-Security" in client.get("/", base_url="https://localhost").headers


def test_a_form_may_lead_to_a_payment_page_only_where_named() -> None:
    assert "form-action 'self';" in policy()
    assert "form-action 'self' https://checkout.stripe.com;" in policy(("https://checkout.stripe.com",))


def test_assets_are_fingerprinted_compressed_and_kept(app: Flask, client: FlaskClient) -> None:
    with app.test_request_context():
        url = asset("css/app.css")
        framework = asset("css/bootstrap.min.css", "bootstrap.static")
        assert "v=" not in asset("css/none.css")
    answer = client.get(url, headers={"Accept-Encoding": "gzip"}, buffered=True)
    assert "immutable" in answer.headers["Cache-Control"]
    assert answer.headers["Content-Encoding"] == "gzip"
    assert b"--brand" in gzip.decompress(answer.data)
    assert client.get(url, headers={"Accept-Encoding": "br, gzip"}, buffered=True).headers["Content-Encoding"] == "br"
    assert "Content-Encoding" not in client.get(url, headers={"Accept-Encoding": "identity"}, buffered=True).headers
    assert client.get(framework, buffered=True).status_code == 200
    assert "immutable" not in client.get("/static/css/app.css", buffered=True).headers.get("Cache-Control", "")


def test_a_whole_page_is_light(app: Flask, client: FlaskClient) -> None:
    """All that a first visit loads besides the page itself, compressed."""
    with app.test_request_context():
        urls = [asset("css/bootstrap.min.css", "bootstrap.static"), *map(asset, ("css/app.css", "js/app.js", "js/list.js", "icons.svg", "favicon.svg"))]
    assert sum(len(client.get(url, headers={"Accept-Encoding": "gzip"}, buffered=True).data) for url in urls) < 60_000


def test_only_pages_that_exist_are_offered(app: Flask) -> None:
    with app.test_request_context("/wallet/show_wallet"):
        links = navigation.navigation("owner", badges={"team.list_users": 2})
        assert [link.current for link in links] == [False, False, True, False, False]
        assert links[-1].badge == 2
        assert navigation.navigation("finance") == [] == navigation.navigation(None)
        assert navigation.url_if("nowhere.at_all") is None


def test_a_page_below_an_entry_marks_it(app: Flask) -> None:
    with app.test_request_context("/"):
        assert [link.current for link in navigation.navigation("buyer", "apps.list_apps")][1]
        assert not any(link.current for link in navigation.navigation("buyer"))
