"""The whole business in a real browser, on what `make run` starts: top up → buy → finance → recommend → accept (→ renew: test_renewal).

`SHOTS=folder` keeps pictures of each step, for a person to look at.
"""

import hashlib
import os
import re

import pytest
from playwright.sync_api import Browser, expect

from tests.browser import checks
from tests.browser.world import Person, World

pytestmark = [pytest.mark.browser, pytest.mark.timeout(420), pytest.mark.skipif(not os.path.exists(checks.CHROMIUM), reason="no Chromium here")]
LISTING = "quote-document"
OFFERED = "merge-duplicate-contacts"


def test_the_loop(world: World, chromium: Browser, request: pytest.FixtureRequest) -> None:
    owner = Person(world, chromium, "owner")
    before = owner.available()

    # Top up: save a card, pay, watch the page settle when the signed webhook arrives.
    owner.go("/wallet/cards/new")
    owner.page.get_by_role("button", name="Save the card").click()
    owner.go("/wallet/top-ups/new?amount_minor=100000")
    owner.page.get_by_label(re.compile("VISA")).first.check()
    owner.page.get_by_role("button", name="Top up", exact=True).click()
    expect(owner.page.get_by_role("heading", level=1)).to_have_text("Receipt for a top-up", timeout=30_000)
    owner.shot("1-top-up")
    topped = owner.available()
    assert topped - before == 105_000  # 1,000.00 and the bonus of 50.00 on offer

    # Buy: one confirmation that shows the wallet before and after; the licence, and the artifact with its hash.
    price = listing_price(world, LISTING)
    owner.go(f"/store/{LISTING}/buy")
    owner.shot("2-confirm")
    owner.page.get_by_role("button", name=re.compile("^(Buy for|Get it)")).click()
    owner.page.wait_for_url(re.compile("/orders/"))
    owner.shot("3-bought")
    assert owner.available() == topped - price
    owner.go("/apps")
    owner.page.get_by_role("link", name=re.compile("Quotation")).first.click()
    with owner.page.expect_download() as download:
        owner.page.get_by_role("link", name=re.compile("Download")).first.click()
    content = download.value.path().read_bytes()
    owner.shot("4-app")
    assert hashlib.sha256(content).hexdigest() in owner.page.content()

    # Finance: the same balance, tied to the ledger.
    finance = Person(world, chromium, "finance")
    finance.go("/finance/prepaid-balances?q=M00001")
    finance.shot("5-finance")
    assert "difference 0.00" in finance.page.content()
    member_row = finance.page.locator("tr", has_text="M00001").first.inner_text()
    held = world.one("select held_minor from wallet where member_id = (select id from member where number = 'M00001')")  # prepaid, though not available
    assert f"{(topped - price + held) / 100:,.2f}" in member_row

    request.getfixturevalue("fallen_due")  # by the time that the pages have been looked at, it has renewed: test_renewal

    # A CSM recommends, the member accepts with one click, the sale is counted as upsell.
    world.sql("update offer set state = 'withdrawn' where state = 'sent' and member_id = (select id from member where number = 'M00001')")
    ((member_id,),) = world.sql("select id from member where number = 'M00001'")
    csm = Person(world, chromium, "csm")
    csm.go(f"/csm/members/{member_id}")
    csm.shot("6-member")
    csm.go(f"/csm/members/{member_id}/offers/new?listing={OFFERED}")
    csm.page.get_by_label(re.compile("Why")).first.fill("你们每次拜访后都手写纪要。")
    csm.page.get_by_role("button", name=re.compile("Send|Recommend")).first.click()
    csm.shot("7-recommended")
    owner.go("/offers")
    owner.shot("8-offer")
    owner.page.get_by_role("button", name=re.compile("^(Buy for|Get it)")).first.click()
    owner.page.wait_for_load_state()
    owner.shot("9-accepted")
    ((state, attributed),) = world.sql(
        f"select o.state, s.csm_id = o.csm_id from offer o join store_order s on s.member_id = o.member_id and s.id = o.order_id"
        f" where o.member_id = '{member_id}' and o.listing_id = (select id from listing where slug = '{OFFERED}')"
    )
    assert (state, attributed) == ("accepted", True)
    csm.go("/csm/revenue")
    csm.shot("10-revenue")

    assert owner.faults + finance.faults + csm.faults == []


def listing_price(world: World, slug: str) -> int:
    ((price,),) = world.sql(f"select price_minor from listing where slug = '{slug}'")
    assert isinstance(price, int)
    return price
