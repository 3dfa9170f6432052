"""Every change a member of staff can make leaves an audit entry that names who made it.

A new staff route that changes something is found by itself: it needs a row in `ACTIONS`, or in `NOT_STAFF_ACTIONS` with a reason.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import select, text, update

from billing.approval import adjustments
from billing.document import document_archives, document_jobs
from billing.document.document_list import Filters
from billing.refund import card_refund_jobs
from billing.top_up import bank_transfers, top_ups
from billing.top_up.top_up_models import BankAccount
from billing.wallet import holds
from core import access
from core.actor import Actor
from core.audit import AuditEntry
from core.clock import now
from core.db import SYSTEM, transaction
from core.ids import new_id
from marketplace.order import coupons, orders
from marketplace.partner import claims, partner_payables, payouts
from marketplace.publisher import term_changes
from marketplace.publisher.publisher_models import Publisher
from marketplace.release.version_models import ListingVersion
from marketplace.sandbox import box
from marketplace.service import services
from marketplace.store import review_reports, reviews
from marketplace.store.listing_models import Listing
from membership import taxes
from membership.audit_fields import FIELDS
from membership.models import ApiKey, Member
from operations import offers
from operations.models import Offer
from tests.billing.stories import top_up
from tests.billing.subscription_world import put_in, reprice, sell, subscribe
from tests.factories import ENTITY, make_entity, make_member, make_top_up_offer, make_user
from tests.marketplace.release.test_publishing import submit
from tests.marketplace.services_world import accept, deliver, dispute, offer_service, order_service
from tests.marketplace.store_world import FREE, PACK, acting_for, buy, open_store
from tests.sign_in import bearer, signed_in

Ids = dict[str, str]
NOT_STAFF_ACTIONS = {
    "contracts_api.preview_contract": "keeps nothing",
    "events_api.create_events": "a product reporting what was done in it, in batches of thousands; `received_at` and the key's request log tell of them",
}


@dataclass(frozen=True)
class Action:
    """How to make a change: what must be there before (it returns the ids of the address), what is sent, and the entry that is expected."""

    role: str
    entry: str
    before: Callable[[Member], Ids]
    sent: Callable[[Ids], dict[str, Any]]


def nothing(_member: Member) -> Ids:
    return {}


def a_transfer(member: Member) -> Ids:
    with transaction(SYSTEM) as session:
        session.add(BankAccount(entity_id=ENTITY, currency="CNY", holder="示例软件有限公司", bank="示例银行", number="6222", code="000"))
    with transaction(SYSTEM):
        top_up, _new = top_ups.start(member.id, top_ups.Wanted(new_id(), 1000_00, "bank_transfer"), at=now(), created_by=None)
    return {"member_id": str(member.id), "top_up_id": str(top_up.id)}


def a_reported_review(member: Member) -> Ids:
    listing_id = open_store(FREE)[FREE]
    buy(member, FREE)
    with transaction(acting_for(member)):
        reviews.write(reviews.license_for(member.id, listing_id), 1, "buy at my shop", member.name, at=now())
    reader = make_member()
    with transaction(acting_for(reader)):
        review = reviews.of_listing(listing_id)[0]
        review_reports.report(reader.id, listing_id, review.id, "advertising", "", at=now())
    return {"slug": FREE, "review_id": str(review.id)}


def a_key(member: Member) -> Ids:
    bearer("buyer", member)
    with transaction(SYSTEM) as session:
        return {"key_id": str(session.scalars(select(ApiKey.id).where(ApiKey.member_id == member.id)).one())}


def a_member(member: Member) -> Ids:
    return {"member_id": str(member.id), "member": member.number}


def an_offer(member: Member) -> Ids:
    csm = make_user("csm")
    with transaction(SYSTEM):
        wanted = offers.Wanted(new_id(), FREE, "saves time")
        offers.send(member.id, wanted, Actor(kind="staff", role="csm", name=csm.name, user_id=csm.id), days=30, at=now())
    with transaction(SYSTEM) as session:
        return {"member_id": str(member.id), "offer_id": str(session.scalars(select(Offer.id)).one())}


def a_submission(_member: Member) -> Ids:
    submit()
    return {"slug": FREE, "number": "9.0.0"}


def a_top_up_offer(_member: Member) -> Ids:
    return {"offer_id": str(make_top_up_offer((1_000_00, 100_00), starts_at=now()).id)}


PRICE = {"edition": "jade/2", "period": "month", "currency": "CNY"}


def a_catalogue(_member: Member) -> Ids:
    sell("jade")
    return {}


def a_scheduled_price(member: Member) -> Ids:
    a_catalogue(member)
    reprice("jade", datetime(2100, 1, 1, tzinfo=UTC), factor=2)
    return {}


def a_parked_renewal(member: Member) -> Ids:
    a_catalogue(member)
    put_in(member, 1_000_00)
    subscription = subscribe(member, line="jade")
    with transaction(SYSTEM) as session:
        parked = text("update subscription set next_attempt_at = null, parked_at = :at, parked_reason = 'no_price' where id = :id")
        session.execute(parked, {"at": now(), "id": subscription.id})
    return {"member_id": str(member.id), "subscription_id": str(subscription.id)}


def a_top_up_offer_form(_ids: Ids) -> dict[str, Any]:
    return {"id": str(new_id()), "name_zh": "开门红", "name_en": "Start", "bonus_days": "90", "from_1": "1000", "bonus_1": "100"}


def a_top_up_offer_body(_ids: Ids) -> dict[str, Any]:
    tiers = [{"from_minor": 1_000_00, "bonus_minor": 100_00}]
    return {"id": str(new_id()), "name_zh": "开门红", "name_en": "Start", "bonus_days": 90, "tiers": tiers}


def a_coupon(_member: Member) -> Ids:
    with transaction(SYSTEM):
        coupon = coupons.create(coupons.Wanted(new_id(), "SPRING", "CNY", percent_bp=1000), at=now())
    return {"coupon_id": str(coupon.id)}


def a_hold(member: Member) -> Ids:
    with transaction(SYSTEM):
        made = holds.place(member.id, holds.Wanted(new_id(), 10_00, "consulting"), at=now(), created_by=None)
    return {"member_id": str(member.id), "hold_id": str(made.id)}


def a_limit(_ids: Ids) -> dict[str, Any]:
    return {"id": str(new_id()), "limit": "500", "limit_minor": 500_00, "reason_code": "contract"}


def a_settled_top_up(member: Member) -> Ids:
    return {"member_id": str(member.id), "top_up_id": str(top_up(member, now(), 500_00))}


def an_entry(member: Member) -> Ids:
    id = str(top_up(member, now(), 500_00))
    return {"member_id": str(member.id), "book_id": str(member.id), "entry_id": id}


def a_refund_by_bank(member: Member) -> Ids:
    ids = a_transfer(member)
    clerk = Actor(kind="staff", role="finance", name="C", user_id=new_id())
    member_id, top_up_id, refund_id = UUID(ids["member_id"]), UUID(ids["top_up_id"]), new_id()
    with transaction(SYSTEM):
        bank_transfers.confirm(member_id, top_up_id, 1000_00, "B-1", at=now())
    with transaction(SYSTEM):
        card_refund_jobs.request(member_id, top_up_id, refund_id, 100_00, "customer_request", "", clerk, at=now())
    return {"member_id": ids["member_id"], "refund_id": str(refund_id)}


def a_proposal(member: Member) -> Ids:
    clerk, id = Actor(kind="staff", role="finance", name="C", user_id=new_id()), new_id()
    with transaction(SYSTEM):
        adjustments.give_goodwill(member, id, 100_000_00, 30, "service_failure", "", clerk, at=now())
    return {"approval_id": str(id)}


def a_bought_order(member: Member) -> Ids:
    id = new_id()
    open_store(PACK)
    top_up(member, now(), 1_000_00)
    with transaction(SYSTEM) as session:
        price = session.scalar(select(Listing.price_minor).where(Listing.slug == PACK))
    assert price
    with transaction(Actor(kind="member", role="owner", member_id=member.id)):
        orders.place(member.id, PACK, orders.Wanted(id, price), at=now())
    return {"member_id": str(member.id), "order_id": str(id)}


def why(_ids: Ids) -> dict[str, Any]:
    return {"id": str(new_id()), "reason_code": "customer_request"}


BUNDLE = {
    "slug": "starter", "category": "sales", "name_zh": "起步套装", "name_en": "Starter bundle", "summary_zh": "一次买齐更省一点钱", "price": "9.99",
    "summary_en": "Cheaper bought together", "description_zh": "套装" * 40, "description_en": "Cheaper together. " * 10,
    "part": ["payment-reminder-mail", FREE], "do": "keep",
}  # fmt: skip


def parts(_member: Member) -> Ids:
    open_store(*BUNDLE["part"])
    return {}


def no_vendor(_member: Member) -> Ids:
    with transaction(SYSTEM) as session:
        other = session.scalars(select(Publisher.id).where(Publisher.code != "vendor")).first()
        session.execute(update(Listing).values(publisher_id=other))
        session.execute(update(Publisher).where(Publisher.code == "vendor").values(id=new_id(), code="former"))
    return {}


def a_draft_bundle(member: Member) -> Ids:
    parts(member)
    with transaction(SYSTEM) as session:
        vendor = session.scalars(select(Publisher.id).where(Publisher.code == "vendor")).one()
        said = {name: value for name, value in BUNDLE.items() if name not in ("price", "part", "do")} | {"price_minor": 1_00, "parts": BUNDLE["part"]}
        term_changes.begin_bundle(vendor, said, at=now())
    return {"slug": "starter"}


def a_disputed_service(member: Member) -> Ids:
    offer_service(now(), price=10_00)
    order_id = order_service(member, now(), price=10_00)
    deliver(member, order_id, 1, now())
    dispute(member, order_id, 1, now())
    return {"member_id": str(member.id), "service_id": str(order_id), "position": "1"}


def a_claim(member: Member) -> Ids:
    offer_service(now(), price=10_00)
    order_id = order_service(member, now(), price=10_00)
    deliver(member, order_id, 1, now())
    accept(member, order_id, 1, now())
    with transaction(SYSTEM):
        charge_id = services.show(member.id, order_id).milestones[0].charge_id
        assert charge_id
        claim = claims.file(member.id, charge_id, claims.Wanted(new_id(), 1_00, "it does not work"), at=now(), filed_by=None)
        return {"member_id": str(member.id), "claim_id": str(claim.id)}


def a_partner_owed(_member: Member) -> Ids:
    buyer = make_member(paid=2_000_00)
    earlier = now() - timedelta(days=20)
    offer_service(earlier)
    order_id = order_service(buyer, earlier)
    deliver(buyer, order_id, 1, earlier)
    accept(buyer, order_id, 1, earlier)
    partner_payables.release_due(now())
    return {"code": "harbor-automation"}


def a_prepared_payout(member: Member) -> Ids:
    a_partner_owed(member)
    clerk = make_user("finance")
    with transaction(SYSTEM) as session:
        partner_id = session.scalars(select(Publisher.id).where(Publisher.code == "harbor-automation")).one()
        made = payouts.prepare(partner_id, Actor(kind="staff", role="finance", name=clerk.name, user_id=clerk.id), at=now())
        return {"payout_id": str(made.id)}


def a_receipt(member: Member) -> Ids:
    top_up(member, now() - timedelta(hours=1), 100_00)
    document_jobs.issue_all(now())
    return {}


def an_archive(member: Member) -> Ids:
    a_receipt(member)
    clerk = make_user("finance")
    with transaction(Actor(kind="staff", role="finance", name=clerk.name, user_id=clerk.id)):
        asking = Actor(kind="staff", role="finance", name=clerk.name, user_id=clerk.id)
        made = document_archives.request(new_id(), Filters(currency="CNY"), "", 1, asking, most=10, at=now())
        return {"archive_id": str(made.id)}


def a_waiting_version(_member: Member) -> Ids:
    """Handed in, but not yet checked again: the sweep has not been."""
    ids = a_submission(_member)
    with transaction(SYSTEM) as session:
        assert session.query(ListingVersion).filter_by(number="9.0.0").one().state == "in_review"
    return ids


def a_listing(_member: Member) -> Ids:
    return {"slug": FREE, "number": "1.0.0"}


def received(_ids: Ids) -> dict[str, Any]:
    return {"received": "1,000.00", "bank_transaction": "BANK-1"}


def an_offer_form(_ids: Ids) -> dict[str, Any]:
    return {"id": str(new_id()), "listing": FREE, "reason": "saves time"}


def empty(_ids: Ids) -> dict[str, Any]:
    return {}


def an_entity(_member: Member) -> Ids:
    return {"entity_id": str(make_entity())}


def a_rate_to_come(member: Member) -> Ids:
    with transaction(SYSTEM):
        added = taxes.add_rate(member.entity_id, (now() + timedelta(days=40)).date(), 900, ("税", "Tax"), at=now())
    return {"entity_id": str(added.entity_id), "valid_from": added.valid_from.isoformat()}


def a_rate_form(ids: Ids) -> dict[str, Any]:
    return {**ids, "first_day": str((now() + timedelta(days=40)).date()), "rate": "9", "rate_name_zh": "税", "rate_name_en": "Tax"}


def a_buyer_of_jade(member: Member) -> Ids:
    a_catalogue(member)
    put_in(member, 90_000_00)
    return a_member(member)


CONTRACT = {"product_line": "jade", "rank": "2", "period": "year", "seats": "5", "deployment": "private", "reason": "contract 2026-17"}


def a_contract(_ids: Ids) -> dict[str, Any]:
    return CONTRACT | {"id": str(new_id()), "price_minor": 3_000_00}


def a_person(member: Member) -> Ids:
    return {"user_id": str(make_user("viewer", member, password_hash="x").id)}


def a_new_member_form(_ids: Ids) -> dict[str, Any]:
    kind = {"industry": "retail", "size": "small", "sales_cycle": "short", "channel": "direct"}
    return {"id": str(new_id()), "name": "新会员", "number": "N-1", "owner.name": "王芳", "owner.email": "wang@example.com", **kind}


ACTIONS = {
    "operator.create_member": Action("operator", "member.create", nothing, a_new_member_form),
    "member_api.create_member": Action(
        "operator", "member.create", nothing, lambda _ids: {"id": str(new_id()), "name": "新会员", "owner": {"name": "王芳", "email": "wang@example.com"}}
    ),
    "operator.change_facts": Action(
        "operator", "member.update", a_member, lambda ids: {k: v for k, v in a_new_member_form(ids).items() if k not in ("id", "number")}
    ),
    "member_api.change_member": Action("operator", "member.update", a_member, lambda _ids: {"size": "large"}),
    "operator.create_password_link_for_anybody": Action("operator", "user.password_link", a_person, empty),
    "contracts.create_contract_page": Action("csm", "subscription.start", a_buyer_of_jade, a_contract),
    "contracts_api.create_contract": Action("operator", "subscription.start", a_buyer_of_jade, a_contract),
    "finance.save_seller": Action("finance", "legal_entity.update", an_entity, lambda ids: {**ids, "name": "新名称", "invoice_grouping": "month"}),
    "finance.create_tax_rate": Action("finance", "tax_rate.add", an_entity, a_rate_form),
    "finance.remove_tax_rate": Action("finance", "tax_rate.remove", a_rate_to_come, dict),
    "operator.create_api_key": Action("operator", "api_key.create", nothing, lambda _ids: {"name": "x", "role": "finance"}),
    "operator.revoke_api_key": Action("operator", "api_key.revoke", a_key, empty),
    "api_key_api.create_api_key": Action("operator", "api_key.create", nothing, lambda _ids: {"name": "x", "role": "finance"}),
    "api_key_api.revoke_api_key": Action("operator", "api_key.revoke", a_key, empty),
    "finance.confirm_top_up": Action("finance", "bank_transfer.confirm", a_transfer, received),
    "finance.cancel_top_up": Action("finance", "bank_transfer.cancel", a_transfer, lambda _ids: {"reason": "it never came"}),
    "wallet_api.confirm_top_up": Action(
        "operator", "bank_transfer.confirm", a_transfer, lambda ids: {"received_minor": 1000_00, "bank_transaction": "BANK-1", "member_id": ids["member_id"]}
    ),
    "finance.create_top_up_offer": Action("finance", "top_up_offer.create", nothing, a_top_up_offer_form),
    "finance.release_renewal": Action("finance", "renewal.release", a_parked_renewal, empty),
    "finance.create_price": Action("finance", "price.schedule", a_catalogue, lambda _ids: PRICE | {"base": "1.00", "seat": "1.00", "valid_from": "2100-01-01"}),
    "finance.withdraw_price": Action("finance", "price.withdraw", a_scheduled_price, lambda _ids: PRICE | {"valid_from": "2100-01-01T00:00:00+00:00"}),
    "finance.end_top_up_offer": Action("finance", "top_up_offer.end", a_top_up_offer, lambda _ids: {"reason": "spring is over"}),
    "finance_api.create_top_up_offer": Action("finance", "top_up_offer.create", nothing, a_top_up_offer_body),
    "finance_api.end_top_up_offer": Action("finance", "top_up_offer.end", a_top_up_offer, lambda _ids: {"reason": "spring is over"}),
    "finance.new_vendor_bundle": Action("finance", "listing.created", parts, lambda _ids: BUNDLE),
    "finance.name_vendor": Action("finance", "publisher.named", no_vendor, lambda _ids: {"name_zh": "我们", "name_en": "Ours"}),
    "finance.edit_vendor_bundle": Action("finance", "listing.changed", a_draft_bundle, lambda _ids: BUNDLE),
    "finance.submit_vendor_bundle": Action("finance", "listing.submitted", a_draft_bundle, empty),
    "finance.create_coupon": Action("finance", "coupon.create", nothing, lambda _ids: {"id": str(new_id()), "code": "SPRING", "percent": "10"}),
    "finance.end_coupon": Action("finance", "coupon.end", a_coupon, lambda _ids: {"reason": "spring is over"}),
    "coupons_api.create_coupon_api": Action("finance", "coupon.create", nothing, lambda _ids: {"id": str(new_id()), "code": "SPRING", "percent_bp": 1000}),
    "coupons_api.end_coupon_api": Action("finance", "coupon.end", a_coupon, lambda _ids: {"reason": "spring is over"}),
    "finance.set_credit_limit": Action("finance", "credit_limit.post", a_member, lambda ids: {k: v for k, v in a_limit(ids).items() if k != "limit_minor"}),
    "finance_api.set_credit_limit": Action("finance", "credit_limit.post", a_member, lambda ids: {k: v for k, v in a_limit(ids).items() if k != "limit"}),
    "finance.release_member_hold": Action(
        "finance", "hold.release", a_hold, lambda ids: {"id": str(new_id()), f"reason-{ids['hold_id']}": "the order fell through"}
    ),
    "finance_api.release_member_hold": Action("finance", "hold.release", a_hold, lambda _ids: {"id": str(new_id()), "reason": "the order fell through"}),
    "finance.create_refund": Action("finance", "card_refund.post", a_settled_top_up, lambda ids: why(ids) | {"amount": "10.00"}),
    "refund_api.create_refund": Action("finance", "card_refund.post", a_settled_top_up, lambda ids: why(ids) | {"amount_minor": 10_00}),
    "finance.confirm_refund": Action("finance", "refund.confirm", a_refund_by_bank, lambda _ids: {"bank_transaction": "OUT-1"}),
    "finance.fail_refund": Action("finance", "refund.fail", a_refund_by_bank, lambda _ids: {"reason": "account closed"}),
    "finance.correct_entry": Action("finance", "correction.post", an_entry, why),
    "refund_api.create_correction": Action("finance", "correction.post", an_entry, why),
    "finance.create_adjustment": Action("finance", "goodwill.post", a_member, lambda ids: why(ids) | {"kind": "goodwill", "amount": "5.00"}),
    "refund_api.create_adjustment": Action("finance", "goodwill.post", a_member, lambda ids: why(ids) | {"kind": "goodwill", "amount_minor": 5_00}),
    "finance.create_document_archive": Action("finance", "document_archive.request", a_receipt, lambda _ids: {"id": str(new_id())}),
    "finance.remove_document_archive": Action("finance", "document_archive.remove", an_archive, empty),
    "finance.approve": Action("finance", "goodwill.approve", a_proposal, empty),
    "finance.reject": Action("finance", "goodwill.reject", a_proposal, lambda _ids: {"note": "no"}),
    "finance.create_order_refund": Action("finance", "order_refund.post", a_bought_order, lambda ids: why(ids) | {"by": "all", "licence": "keep"}),
    "order_refunds_api.create_refund": Action(
        "finance", "order_refund.post", a_bought_order, lambda ids: why(ids) | {"amount_minor": 1_00, "licence": "revoke"}
    ),
    "partner_services.decide": Action(
        "reviewer", "service.decide", a_disputed_service, lambda _ids: {"by": "amount", "amount": "1.00", "reason": "half of it is there"}
    ),
    "claims.decide": Action("finance", "claim.reject", a_claim, lambda _ids: {"decision": "refuse", "reason": "it works as described"}),
    "finance.prepare_payout": Action("finance", "payout.prepare", a_partner_owed, empty),
    "finance.pay_payout": Action("finance", "payout.pay", a_prepared_payout, lambda _ids: {"bank_reference": "OUT-2026-1"}),
    "finance.discard_payout": Action("finance", "payout.discard", a_prepared_payout, empty),
    "review.approve": Action("reviewer", "version.approved", a_submission, empty),
    "review.reject": Action("reviewer", "version.rejected", a_submission, lambda _ids: {"reason": "it is broken", "fix": "mend it please"}),
    "review_reports.decide": Action("reviewer", "review.hide", a_reported_review, lambda _ids: {"decision": "hide", "reason": "it is advertising"}),
    "review.check_again": Action("reviewer", "version.rechecked", a_waiting_version, empty),
    "stewardship.act_on_listing": Action(
        "reviewer", "listing.deprecate", a_listing, lambda _ids: {"action": "deprecate", "reason": "its maker is gone", "replacement": ""}
    ),
    "stewardship.act_on_version": Action("reviewer", "version.quarantine", a_listing, lambda _ids: {"action": "quarantine", "reason": "it may leak data"}),
    "csm.create_offer": Action("csm", "offer.send", a_member, an_offer_form),
    "csm.create_withdrawal": Action("csm", "offer.withdraw", an_offer, empty),
    "offers_api.create_offer": Action("operator", "offer.send", a_member, an_offer_form),
    "hosts.enter_version": Action("csm", "host_version.enter", a_member, lambda _ids: {"product_line": "crm", "version": "0.9"}),
    "hosts.create_release": Action("operator", "product_line.release", lambda _member: {"code": "crm"}, lambda _ids: {"version-crm": "1.1"}),
    "host_api.enter_host_version": Action("operator", "host_version.enter", a_member, lambda _ids: {"product_line": "crm", "version": "0.9"}),
    "host_api.create_release": Action("operator", "product_line.release", lambda _member: {"code": "crm"}, lambda _ids: {"version": "1.1"}),
    "operator.move_clock": Action("operator", "clock.advance", nothing, lambda _ids: {"days": 1}),
    "clock_api.move_clock": Action("operator", "clock.advance", nothing, lambda _ids: {"days": 1}),
}


def staff_changes(app: Flask) -> dict[str, str]:
    """The routes that change something and admit staff, other than those that everybody who signs in has for the own account."""
    return {
        rule.endpoint: method
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"GET", "HEAD", "OPTIONS"}
        if not rule.endpoint.endswith("static") and (roles := access.allowed(app, rule.endpoint)) & set(access.STAFF) and not set(access.STAFF) <= roles
    }


def address_of(app: Flask, endpoint: str, ids: Ids) -> str:
    """The route's address with these ids."""
    wanted = next(rule.arguments for rule in app.url_map.iter_rules() if rule.endpoint == endpoint)
    with app.test_request_context():
        return str(app.url_map.bind("localhost").build(endpoint, {name: ids[name] for name in wanted}))


def test_every_staff_route_that_changes_something_is_tried_here(app: Flask) -> None:
    assert set(staff_changes(app)) - set(NOT_STAFF_ACTIONS) == set(ACTIONS)


@pytest.mark.parametrize("endpoint", sorted(ACTIONS))
def test_it_leaves_an_entry_that_names_its_maker(app: Flask, endpoint: str) -> None:
    if endpoint == "review.approve" and box.unavailable():
        pytest.skip(f"nothing can be approved without a sandbox: {box.unavailable()}")
    action, member = ACTIONS[endpoint], make_member(paid=100_00)
    make_entity()
    open_store(FREE)
    ids = action.before(member)
    with transaction(SYSTEM) as session:
        known = set(session.scalars(select(AuditEntry.id)))
    address = address_of(app, endpoint, ids)
    if address.startswith("/api/"):
        headers = bearer(action.role)
        answer = app.test_client().open(address, method=staff_changes(app)[endpoint], json=action.sent(ids), headers=headers)
        name = "test key"
    else:
        user = make_user(action.role, name="Somebody of ours")
        answer = signed_in(app, user).open(address, method=staff_changes(app)[endpoint], data=action.sent(ids))
        name = user.name
    assert answer.status_code in (200, 201, 202, 302, 303), answer.text
    with transaction(SYSTEM) as session:
        entries = session.scalars(select(AuditEntry).where(AuditEntry.id.not_in(known))).all()
    assert [(one.action, one.actor_role, one.actor_name) for one in entries] == [(action.entry, action.role, name)]
    assert entries[0].actor_id is not None
    assert {*(entries[0].before or {}), *(entries[0].after or {})} <= set(FIELDS), "the audit page has a name for every field"


@pytest.mark.parametrize("endpoint", ["finance.confirm_top_up", "csm.create_offer", "review.reject"])
def test_what_is_refused_leaves_none(app: Flask, endpoint: str) -> None:
    action, member = ACTIONS[endpoint], make_member()
    open_store(FREE)
    ids = action.before(member)
    with transaction(SYSTEM) as session:
        known = len(session.scalars(select(AuditEntry.id)).all())
    address = address_of(app, endpoint, ids)
    assert signed_in(app, make_user(action.role)).post(address, data={}).status_code == 422
    with transaction(SYSTEM) as session:
        assert len(session.scalars(select(AuditEntry.id)).all()) == known
