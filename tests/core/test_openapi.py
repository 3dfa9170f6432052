"""The OpenAPI document says what the API does: valid and complete. (test_api_schemathesis.py: and keeps it.)"""

import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from openapi_spec_validator import validate

from core.schemas import PROBLEM_TYPE

DOCUMENT = "/api/v1/openapi.json"


@pytest.fixture
def document(client: FlaskClient) -> dict[str, Any]:
    found: dict[str, Any] = client.get(DOCUMENT).json
    return found


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(method.upper(), path): one for path, methods in document["paths"].items() for method, one in methods.items() if method != "parameters"}


def test_it_is_valid(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    validate(document)


def test_it_has_every_route_and_no_other(app: Flask, document: dict[str, Any]) -> None:
    routes = {
        (method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/api/") and rule.rule != DOCUMENT
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert set(operations(document)) == routes


def test_every_operation_says_how_it_fails(document: dict[str, Any]) -> None:
    for name, one in operations(document).items():
        assert one.get("summary"), name
        statuses = {int(status) for status in one["responses"]}
        assert "default" not in one["responses"], name
        assert {401, 503} | ({400, 413, 415, 422} if "requestBody" in one else set()) <= statuses, name
        for status, answer in one["responses"].items():
            assert int(status) < 400 or list(answer["content"]) == [PROBLEM_TYPE], (name, status)
            assert int(status) >= 400 or answer.get("content"), (name, status)


def test_every_part_of_the_readable_page_has_a_title_in_chinese(client: FlaskClient, document: dict[str, Any]) -> None:
    page = client.get("/api-docs?lang=zh").text
    titles = re.findall(r">([^<]+)</a>", page.partition('class="tabs"')[2].partition("</nav>")[0])
    assert len(titles) == len({tag for one in operations(document).values() for tag in one["tags"]})
    assert [title for title in titles if not re.search(r"[\u4e00-\u9fff]", title)] == []
