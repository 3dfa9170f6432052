"""Thousands of requests made up from the OpenAPI document, as every role that may have a key, are answered as it says and never by a failure of ours.

Each role goes once through all operations with a fixed seed, and then again with the next seeds for as long as its share of `FUZZ_SECONDS` lasts:
`FUZZ_SECONDS=300 make test-long ARGS=tests/core/test_api_schemathesis.py` is the five minutes' run.
"""

import contextvars
import itertools
import os
import time
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, seed, settings
from sqlalchemy import select

from billing.payment import payment_methods, stripe_gateway
from billing.top_up import top_up_jobs
from core.actor import MEMBER_ROLES
from core.clock import now
from core.db import SYSTEM, transaction
from core.embedded.stripe import Stripe
from membership import api_keys
from membership.models import ApiKey, Member
from membership.subscription_models import Subscription
from tests.factories import make_member
from tests.foreign import FOREIGN
from tests.marketplace.store_world import ONE_TIME, buy, open_store, subscribe
from tests.sign_in import bearer
from tests.test_audit import an_offer

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
SECONDS = float(os.environ.get("FUZZ_SECONDS", "60"))
EXAMPLES = 12  # an operation and round
UNKNOWN_EVERY = 4  # so often an id is left as it was made up


def things_of(member: Member) -> dict[str, str]:
    """Ids of what there is, by the names of the variables in addresses: most made-up ids would only ever find nothing."""
    known: dict[str, object] = {"slug": "usage-pack", "member": member.number, "member_id": member.id}
    for name in ("top_up_id", "hold_id", "notice_id", "user_id"):
        known |= FOREIGN[name](member)
    customer = top_up_jobs.customer_for(member.id)
    with transaction(SYSTEM):
        card = payment_methods.save(member.id, stripe_gateway.keep_card(stripe_gateway.make_test_card("visa", customer), customer), at=now())
    known["payment_method_id"] = card.id
    known |= an_offer(member)
    known["license_id"] = known["order_id"] = buy(member, ONE_TIME)
    with transaction(SYSTEM) as session:
        known["subscription_id"] = session.scalars(select(Subscription.id).where(Subscription.member_id == member.id)).one()
    return {name: str(value) for name, value in known.items()}


@pytest.mark.parametrize("role", api_keys.ROLES)
def test_made_up_requests_are_answered_as_described(app: Flask, stripe_api: Stripe, role: str) -> None:
    import schemathesis
    from schemathesis import checks
    from schemathesis.specs.openapi import checks as openapi

    until = time.monotonic() + SECONDS / len(api_keys.ROLES)
    wanted = [checks.not_a_server_error, openapi.status_code_conformance, openapi.content_type_conformance, openapi.response_schema_conformance]
    member = make_member(paid=1_000_000_00)
    open_store()
    subscribe(member)
    known, turns = things_of(member), itertools.count()
    headers = bearer(role, member if role in MEMBER_ROLES else None) | {"Accept-Encoding": "identity"}
    with transaction(SYSTEM) as session:
        own_keys = {str(key) for key in session.scalars(select(ApiKey.id))}

    def try_one(case: Any) -> None:
        asked = case.path_parameters or {}
        if own_keys & set(map(str, asked.values())):
            return
        if next(turns) % UNKNOWN_EVERY:
            case.path_parameters = {name: known.get(name, value) for name, value in asked.items()}
        case.validate_response(contextvars.Context().run(case.call, headers=headers), checks=wanted)  # else `g` would leak from request to request

    configured = settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    operations = [found.ok() for found in schemathesis.openapi.from_wsgi("/api/v1/openapi.json", app).get_all_operations()]
    assert len(operations) > 30
    for number in itertools.count(1):
        for operation in operations:
            if number > 1 and time.monotonic() > until:
                return
            configured(seed(number)(given(case=operation.as_strategy())(try_one)))()
