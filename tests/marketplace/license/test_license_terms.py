"""Recurring licences renew from the wallet, wait when money is short, and end when they are told to; trials end by themselves."""

from datetime import UTC, datetime, timedelta

import pytest

from billing.ledger.accounts import Account
from billing.wallet import wallets
from billing.wallet.wallets import InsufficientFunds
from core.db import SYSTEM, transaction
from core.errors import IdReused, NotFound
from core.ids import new_id, request_hash
from marketplace.license import license_renewals, license_terms, licenses, trials
from marketplace.license.license_models import License
from marketplace.order import pricing
from marketplace.order.order_models import Order
from membership.notice_models import Notice
from tests.billing.books import accounts, assert_books_hold
from tests.factories import AT, make_member
from tests.marketplace.store_world import ONE_TIME, PACK, acting_for, buy, open_store, set_listing
from tests.sign_in import bearer, client_as

PRICE = 1900
NEXT = datetime(2026, 7, 14, 16, 0, tzinfo=UTC)  # AT is 15 June 12:00 in Shanghai: the term ends with 14 July there
AFTER = datetime(2026, 8, 14, 16, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def monthly(app):
    """One listing at ¥19.00 a month that can be tried for 14 days."""
    open_store(ONE_TIME, PACK)
    set_listing(ONE_TIME, pricing="recurring", period="month", price_minor=PRICE, trial_days=14, required_rank=0, required_features=[], product_line=None)
    pricing._offered.clear()
    yield
    assert_books_hold()


def found(member):
    with transaction(SYSTEM) as session:
        return session.query(License).filter_by(member_id=member.id).order_by(License.starts_at.desc(), License.state).first()


def paid_money(member):
    return accounts(member.id).get(Account.WALLET_PAID, 0)


def top_up(member, amount, at):
    with transaction(SYSTEM):
        wallets.credit(wallets.Credit(member.id, new_id(), request_hash("test"), "opening_balance", "CNY", at, amount))


def renew(at):
    with transaction(SYSTEM):
        return license_renewals.renew_due(at)


def told(member):
    with transaction(SYSTEM) as session:
        return sorted(one.kind for one in session.query(Notice).filter_by(member_id=member.id))


def orders_of(member):
    with transaction(SYSTEM) as session:
        return [(one.kind, one.total_minor) for one in session.query(Order).filter_by(member_id=member.id).order_by(Order.at)]


def try_it(member, trial_id=None, at=AT):
    with transaction(acting_for(member)):
        return trials.start(member.id, ONE_TIME, trial_id or new_id(), at=at)


def test_each_term_is_charged_once_and_begins_where_the_last_one_ended():
    member = make_member(paid=100_00)
    buy(member, ONE_TIME)
    assert found(member).ends_at == NEXT
    assert renew(NEXT - timedelta(seconds=1)) == 0
    assert renew(NEXT + timedelta(hours=5)) == 1  # late
    assert renew(NEXT + timedelta(hours=5)) == 0
    assert (found(member).ends_at, found(member).term) == (AFTER, 2)
    assert orders_of(member) == [("purchase", PRICE), ("renewal", PRICE)]
    assert paid_money(member) == 100_00 - 2 * PRICE


def test_the_price_agreed_to_holds_whatever_the_store_asks_now():
    member = make_member(paid=100_00)
    buy(member, ONE_TIME)
    set_listing(ONE_TIME, price_minor=9900)
    renew(NEXT)
    assert orders_of(member)[-1] == ("renewal", PRICE)


def test_short_of_money_it_is_suspended_told_once_and_brought_back_by_the_next_top_up():
    member = make_member(paid=PRICE)
    license_id = buy(member, ONE_TIME)
    renew(NEXT)
    assert found(member).state == "suspended"
    with transaction(acting_for(member)) as session, pytest.raises(licenses.LicenseEnded):
        licenses.check(session.get(License, (member.id, license_id)), NEXT)
    renew(NEXT + timedelta(days=1))
    assert told(member).count("license_suspended") == 1
    paid_at = NEXT + timedelta(days=2, hours=1)
    top_up(member, 50_00, at=paid_at)
    assert renew(paid_at) == 1
    assert found(member).state == "active"
    assert found(member).ends_at > AFTER  # the days without it are not paid for
    assert paid_money(member) == 50_00 - PRICE
    assert "license_restored" in told(member)


def test_unpaid_for_longer_than_the_days_of_grace_it_ends():
    member = make_member(paid=PRICE)
    buy(member, ONE_TIME)
    for day in range(20):
        renew(NEXT + timedelta(days=day))
    assert found(member).state == "ended"
    assert told(member) == ["license_over", "license_suspended"]
    assert paid_money(member) == 0


def test_cancelled_it_runs_to_the_end_of_its_term_and_is_charged_no_more():
    member = make_member(paid=100_00)
    license_id = buy(member, ONE_TIME)
    with transaction(acting_for(member)):
        license_terms.cancel(member.id, license_id, at=AT)
        license_terms.cancel(member.id, license_id, at=AT)
    assert found(member).state == "active"
    renew(NEXT)
    assert found(member).state == "ended"
    assert paid_money(member) == 100_00 - PRICE
    with transaction(acting_for(member)), pytest.raises(license_terms.NotRenewing):
        license_terms.resume(member.id, license_id)


def test_a_cancellation_can_be_taken_back():
    member = make_member(paid=100_00)
    license_id = buy(member, ONE_TIME)
    with transaction(acting_for(member)):
        license_terms.cancel(member.id, license_id, at=AT)
        license_terms.resume(member.id, license_id)
    renew(NEXT)
    assert found(member).term == 2


@pytest.mark.parametrize("changes", [{"state": "archived"}, {"product_line": "crm", "required_rank": 4}])
def test_what_can_no_longer_be_used_is_not_charged_again(changes):
    member = make_member(paid=100_00)
    buy(member, ONE_TIME)
    set_listing(ONE_TIME, **changes)
    renew(NEXT)
    assert found(member).state == "ended"
    assert paid_money(member) == 100_00 - PRICE


def test_a_deprecated_listing_still_renews_for_those_who_have_it():
    member = make_member(paid=100_00)
    buy(member, ONE_TIME)
    set_listing(ONE_TIME, state="deprecated")
    renew(NEXT)
    assert found(member).term == 2


def test_a_trial_costs_nothing_ends_by_itself_and_is_not_begun_anew():
    member = make_member()
    trial_id = new_id()
    assert try_it(member, trial_id).state == "trial"
    assert try_it(member, trial_id).id == trial_id
    with transaction(acting_for(member)), pytest.raises(IdReused):
        trials.start(member.id, PACK, trial_id, at=AT)
    renew(AT + timedelta(days=14))
    assert found(member).state == "ended"
    assert told(member) == ["trial_over"]
    with transaction(acting_for(member)), pytest.raises(trials.TrialUsed):
        trials.start(member.id, ONE_TIME, new_id(), at=AT + timedelta(days=30))


def test_buying_ends_the_trial_and_a_failed_purchase_leaves_it():
    member = make_member()
    try_it(member)
    with pytest.raises(InsufficientFunds):
        buy(member, ONE_TIME)
    assert found(member).state == "trial"
    top_up(member, 50_00, at=AT)
    license_id = buy(member, ONE_TIME, at=AT + timedelta(days=1))
    with transaction(acting_for(member)) as session:
        assert session.get(License, (member.id, license_id)).state == "active"
        assert session.query(License).filter_by(state="ended").count() == 1
    assert renew(AT + timedelta(days=14)) == 0


def test_what_was_bought_cannot_be_tried_and_what_has_no_trial_neither():
    member = make_member(paid=100_00)
    buy(member, ONE_TIME)
    with transaction(acting_for(member)), pytest.raises(trials.TrialUsed):
        trials.start(member.id, ONE_TIME, new_id(), at=AT)
    set_listing(ONE_TIME, trial_days=0)
    other = make_member()
    with transaction(acting_for(other)), pytest.raises(trials.NoTrial):
        trials.start(other.id, ONE_TIME, new_id(), at=AT)


def test_nobody_ends_anothers_licence():
    mine, theirs = make_member(), make_member(paid=100_00)
    license_id = buy(theirs, ONE_TIME)
    with transaction(acting_for(mine)), pytest.raises(NotFound):
        license_terms.cancel(mine.id, license_id, at=AT)


def test_over_the_api(client):
    member = make_member(paid=100_00)
    key = bearer("buyer", member)
    trial = client.post(f"/api/v1/listings/{ONE_TIME}/trials", json={"id": str(new_id())}, headers=key)
    assert (trial.status_code, trial.json["state"]) == (201, "trial")
    bought = client.post(f"/api/v1/listings/{ONE_TIME}/orders", json={"id": str(new_id()), "price_minor": PRICE}, headers=key)
    assert bought.status_code == 201, bought.json
    place = f"/api/v1/licenses/{bought.json['license_id']}"
    cancelled = client.post(f"{place}/cancellation", headers=key)
    assert (cancelled.json["period"], cancelled.json["price_minor"], cancelled.json["auto_renews"]) == ("month", PRICE, False)
    assert client.post(f"{place}/resumption", headers=key).json["auto_renews"]
    assert client.post(f"/api/v1/licenses/{trial.json['id']}/cancellation", headers=key).status_code == 409
    assert paid_money(member) == 100_00 - PRICE


def test_on_pages(app):
    member = make_member(paid=100_00)
    browser = client_as(app, "owner", member)
    html = browser.get(f"/store/{ONE_TIME}?lang=en").text
    assert "Try it for 14 days" in html
    assert "¥19.00 a month" in html
    started = browser.post(f"/store/{ONE_TIME}/trial", data={"id": str(new_id())})
    assert "Trial until" in browser.get(started.location + "?lang=en").text
    assert "Try it for" not in browser.get(f"/store/{ONE_TIME}?lang=en").text
    assert "then the same each month until you cancel" in browser.get(f"/store/{ONE_TIME}/buy?lang=en").text
    browser.post(f"/store/{ONE_TIME}/buy", data={"id": str(new_id()), "price_minor": PRICE, "quantity": 1})
    app_page = f"/apps/{found(member).id}"
    assert "renews from the wallet" in browser.get(f"{app_page}?lang=en").text
    browser.post(f"{app_page}/cancellation")
    assert "it ends" in browser.get(f"{app_page}?lang=en").text
    browser.post(f"{app_page}/resumption")
    assert "renews from the wallet" in browser.get(f"{app_page}?lang=en").text
    assert browser.post(f"/store/{ONE_TIME}/trial", data={"id": "x"}).status_code == 422
