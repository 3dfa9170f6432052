"""Requests made up from the OpenAPI document, with a publisher's key, are answered as it says and never by a failure of ours."""

import contextvars
import itertools

import pytest
from hypothesis import HealthCheck, given, seed, settings

from tests.marketplace.publisher.test_drafts import SLUG, bundle, create, key_of, upload
from tests.marketplace.store_world import FREE, open_store

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]
ALSO = ("/api/v1/listings", "/api/v1/listings/{slug}")  # what a publisher reads besides its own
UNKNOWN_EVERY = 4  # so often an id is left as it was made up


def test_made_up_requests_are_answered_as_described(app, client):
    import schemathesis
    from schemathesis import checks
    from schemathesis.specs.openapi import checks as openapi

    open_store(FREE)
    headers = key_of() | {"Accept-Encoding": "identity"}
    create(client, headers)
    upload(client, headers, bundle())
    wanted = [checks.not_a_server_error, openapi.status_code_conformance, openapi.content_type_conformance, openapi.response_schema_conformance]
    known, turns = {"slug": SLUG, "number": "1.0.0"}, itertools.count()

    def try_one(case):
        if next(turns) % UNKNOWN_EVERY:
            case.path_parameters = {name: known.get(name, value) for name, value in (case.path_parameters or {}).items()}
        case.validate_response(contextvars.Context().run(case.call, headers=headers), checks=wanted)  # else `g` would leak from request to request

    configured = settings(max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    found = [one.ok() for one in schemathesis.openapi.from_wsgi("/api/v1/openapi.json", app).get_all_operations()]
    operations = [one for one in found if "/publisher/" in one.path or one.path in ALSO]
    assert len(operations) >= 9
    for operation in operations:
        configured(seed(1)(given(case=operation.as_strategy())(try_one)))()
