"""How another member comes by each kind of thing whose id a route takes: for the walk over all routes in test_access.py.

A new kind of id needs a row in FOREIGN; what no member owns is named in NOBODYS.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from billing.document import document_contents, document_jobs
from billing.payment.payment_models import PaymentMethod
from billing.top_up.top_up_models import TopUp
from billing.wallet import holds, wallets
from core.actor import Actor
from core.clock import now
from core.db import SYSTEM, transaction
from core.ids import derived, new_id, request_hash
from marketplace.copy.models import CopyContent, CopyStep
from marketplace.license.license_models import License
from marketplace.order import orders
from marketplace.partner import claims
from marketplace.run.run_models import Run, RunFile
from marketplace.seat import seats
from membership import notices, sessions
from membership.catalogue_models import Edition, HostVersion, ProductLine
from membership.models import Member, UserSession
from membership.subscription_models import Subscription
from operations.models import Offer
from tests.factories import AT, make_user
from tests.marketplace.services_world import deliver, offer_service, order_service
from tests.operations.factories import make_listing, make_order


def a_user(member: Member) -> dict[str, object]:
    return {"user_id": make_user("viewer", member).id}


def a_session(member: Member) -> dict[str, object]:
    user = make_user("viewer", member)
    with transaction(SYSTEM) as session:
        token = sessions.open_session(user.id, "theirs", at=datetime.now(UTC), days=14)
        session.flush()
        found = session.scalars(select(UserSession).where(UserSession.token_hash == sessions.hash_token(token))).one()
    return {"session_id": found.id}


def a_notice(member: Member) -> dict[str, object]:
    with transaction(SYSTEM):
        notices.tell(member.id, "top_up_settled", {"amount_minor": 1}, at=AT, key="foreign")
    return {"notice_id": derived("notice", member.id, "foreign")}


def a_subscription(member: Member) -> dict[str, object]:
    with transaction(SYSTEM) as session:
        if session.get(ProductLine, "crm") is None:
            session.add(ProductLine(code="crm", name_zh="客户云", name_en="Customer Cloud"))
            session.flush()
            session.add(Edition(product_line="crm", rank=1, code="starter", name_zh="入门版", name_en="Starter", features=["lead"], limits={}))
            session.flush()
        made = Subscription(
            member_id=member.id, id=new_id(), product_line="crm", rank=1, period="month", currency="CNY", seats=3, state="active", term=1, anchor_day=15,
            started_at=AT, term_start=AT, term_end=AT + timedelta(days=30), term_price_minor=199_00, cancel_at_term_end=False, next_rank=None, next_seats=None,
            ended_at=None, deployment="saas", licensing="rental", next_attempt_at=None, failed_attempts=0,
        )  # fmt: skip
        session.add(made)
        session.merge(HostVersion(member_id=member.id, product_line="crm", version="0.9", source="reported", at=AT))
    return {"subscription_id": made.id}


def a_top_up(member: Member) -> dict[str, object]:
    with transaction(SYSTEM) as session:
        made = TopUp(
            member_id=member.id, id=new_id(), request_hash=request_hash("foreign"), currency="CNY", amount_minor=100_00, bonus_minor=0, method="bank_transfer",
            state="pending", failure=None, stripe_payment_intent=None, payment_method_id=None, bank_reference="F-1", created_by=None, created_at=AT,
            settled_at=None, checked_at=None,
        )  # fmt: skip
        session.add(made)
    return {"top_up_id": made.id}


def a_card(member: Member) -> dict[str, object]:
    with transaction(SYSTEM) as session:
        made = PaymentMethod(
            member_id=member.id, id=new_id(), stripe_id="pm_foreign", brand="visa", last4="4242", exp_month=1, exp_year=2030, is_default=True,
            created_at=AT, removed_at=None,
        )  # fmt: skip
        session.add(made)
    return {"payment_method_id": made.id, "method_id": made.id, "card_id": made.id}


def a_hold(member: Member) -> dict[str, object]:
    with transaction(SYSTEM):
        made = holds.place(member.id, holds.Wanted(new_id(), 1_00, "foreign"), at=now(), created_by=None)
    return {"hold_id": made.id}


def an_order(member: Member) -> dict[str, object]:
    order = make_order(member, make_listing(f"foreign-{new_id().hex[-12:]}"))
    return {"order_id": order.id, "license_id": order.id}


def a_seat(member: Member) -> dict[str, object]:
    """Somebody who holds a seat of a licence."""
    order, holder = make_order(member, make_listing(f"foreign-{new_id().hex[-12:]}")), make_user("viewer", member)
    with transaction(SYSTEM) as session:
        session.get_one(License, (member.id, order.id)).seats = 2
        session.flush()
        seats.assign(member.id, order.id, holder.id, at=AT, by=None)
    return {"holder_id": holder.id}


def an_offer(member: Member) -> dict[str, object]:
    listing = make_listing(f"foreign-{new_id().hex[-12:]}")
    with transaction(SYSTEM) as session:
        made = Offer(
            member_id=member.id, id=new_id(), request_hash=request_hash("foreign"), listing_id=listing.id, csm_id=None, csm_name="C", reason="r",
            price_minor=listing.price_minor, state="sent", sent_at=AT, expires_at=AT + timedelta(days=36500), decided_at=None, order_id=None, refusal=None,
        )  # fmt: skip
        session.add(made)
    return {"offer_id": made.id}


def a_run(member: Member) -> dict[str, object]:
    """A run that ended, with what went in and what came out."""
    listing = make_listing(f"foreign-{new_id().hex[-12:]}")
    order = make_order(member, listing)
    with transaction(SYSTEM) as session:
        made = Run(
            member_id=member.id, id=new_id(), request_hash=request_hash("foreign"), license_id=order.id, listing_id=listing.id, version="1.0.0", sha256="x",
            kind="robot_task", state="succeeded", parameters={}, hold_id=None, requested_by=None, requested_by_name="F", progress=None, steps=0, failure=None,
            log="", took_ms=1, queued_at=AT, started_at=AT, finished_at=AT,
        )  # fmt: skip
        session.add(made)
        session.flush()
        for direction in ("input", "output"):
            session.add(RunFile(member_id=member.id, run_id=made.id, direction=direction, n=0, name="f", size=1, content=b"x"))
    return {"run_id": made.id}


def a_step(member: Member) -> dict[str, object]:
    """A file that somebody wrote into its copy of an app."""
    license_id = an_order(member)["license_id"]
    with transaction(SYSTEM) as session:
        session.add(CopyContent(member_id=member.id, sha256="f" * 64, size=1, content=b"x"))
        session.flush()
        made = CopyStep(
            member_id=member.id, id=new_id(), license_id=license_id, version="1.0.0", path="mail.txt.j2", kind="edit", base_sha256=None, sha256="f" * 64,
            user_id=None, user_name="F", at=AT,
        )  # fmt: skip
        session.add(made)
    return {"step_id": made.id}


# The name of the variable in the address → how another member comes by such a thing. Add a row for a new kind.
def a_document(member: Member) -> dict[str, object]:
    """A receipt, and the entry it is about."""
    with transaction(SYSTEM):
        credited = wallets.Credit(member.id, new_id(), request_hash("foreign"), "top_up", "CNY", AT, 100_00)
        wallets.credit(credited)
    document_jobs.issue_all(AT + timedelta(days=365))
    return {"document_id": document_contents.document_id("receipt", member.id, credited.id), "transaction_id": credited.id}


def a_service(member: Member) -> dict[str, object]:
    """A running order of a partner's service, its first milestone delivered."""
    price = 10_00
    offer_service(now(), slug="foreign-service", price=price)
    order_id = order_service(member, now(), slug="foreign-service", price=price)
    deliver(member, order_id, 1, now())
    return {"service_id": order_id}


def a_claim(member: Member) -> dict[str, object]:
    """A claim on a purchase, waiting for its publisher."""
    slug = f"foreign-{new_id().hex[-12:]}"
    price = make_listing(slug, price_minor=1_00).price_minor
    owner = Actor(kind="member", role="owner", member_id=member.id)
    with transaction(owner):
        order = orders.place(member.id, slug, orders.Wanted(new_id(), price), at=now())
    with transaction(owner):
        return {"claim_id": claims.file(member.id, order.id, claims.Wanted(new_id(), 50, "it does not work"), at=now(), filed_by=None).id}


FOREIGN: dict[str, Callable[[Member], dict[str, object]]] = {
    "user_id": a_user,
    "session_id": a_session,
    "notice_id": a_notice,
    "subscription_id": a_subscription,
    "top_up_id": a_top_up,
    "payment_method_id": a_card,
    "method_id": a_card,
    "card_id": a_card,
    "order_id": an_order,
    "license_id": an_order,
    "holder_id": a_seat,
    "offer_id": an_offer,
    "hold_id": a_hold,
    "run_id": a_run,
    "document_id": a_document,
    "transaction_id": a_document,
    "service_id": a_service,
    "claim_id": a_claim,
    "step_id": a_step,
}
NOBODYS = {
    "slug",
    "number",
    "n",
    "direction",
    "filename",
    "token",
    "sha256",
    "line",
    "rank",
    "code",
    "version",
    "form",
    "review_id",
    "position",  # of a milestone
    "coupon_id",
    "side",  # of a comparison
}  # review_id: all may read what buyers say
