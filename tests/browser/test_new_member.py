"""A customer is taken on in a real browser: the form, the link that is copied, the owner's first sign-in, and a password that was forgotten later."""

import os
import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import checks
from tests.browser.world import World

pytestmark = [pytest.mark.browser, pytest.mark.timeout(420), pytest.mark.skipif(not os.path.exists(checks.CHROMIUM), reason="no Chromium here")]
FIRST, SECOND = "the first long sentence", "another long sentence"


def copied(page: Page) -> str:
    """The link of the page, taken with its button."""
    page.get_by_role("button", name="Copy the link").click()
    expect(page.get_by_role("status").last).to_have_text("Copied")
    link: str = page.evaluate("navigator.clipboard.readText()")
    assert link == page.locator("#f-link").input_value()
    return link


def choose_password(page: Page, link: str, password: str) -> None:
    page.goto(link)
    page.locator("#f-password").fill(password)
    page.locator("#f-again").fill(password)
    page.locator("main .btn-primary").click()
    expect(page).to_have_url(re.compile("/store"))


def test_from_the_form_to_the_owners_store_and_back_in_after_a_forgotten_password(world: World, chromium: Browser) -> None:
    with world.visit(chromium, "operator", permissions=["clipboard-read", "clipboard-write"]) as context:
        page = context.new_page()
        page.goto("/operator/members?lang=en")
        page.get_by_role("link", name="New member").click()
        number = page.get_by_label("Number").input_value()
        page.get_by_label("Name in Chinese").fill("杭州新客有限公司")
        page.get_by_label("Number").fill("M00001")
        page.get_by_label("Full name").fill("王新客")
        page.get_by_label("E-mail").fill("xinke@example.com")
        page.get_by_role("button", name="Take this member on").click()
        expect(page.locator(".error-summary")).to_be_focused()
        expect(page.locator("#e-number")).to_contain_text(number)
        assert page.get_by_label("Full name").input_value() == "王新客"
        checks.shoot(page, "new-member-error")
        page.get_by_label("Number").fill(number)
        page.get_by_role("button", name="Take this member on").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Invitation for 王新客")
        checks.shoot(page, "new-member-link")
        invitation = copied(page)

        guest = chromium.new_context(locale="en-GB").new_page()
        choose_password(guest, invitation, FIRST)
        guest.goto(world.base + "/wallet?lang=en")
        expect(guest.locator(".figure", has_text="Available").first).to_contain_text("¥0.00")

        page.goto("/operator/people?q=xinke&lang=en")
        page.get_by_role("link", name="王新客").click()
        page.get_by_role("button", name="Make a link for a new password").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("New password for 王新客")
        link = copied(page)
        for width in (360, 1280):
            page.set_viewport_size({"width": width, "height": 900})
            checks.shoot(page, f"password-link-{width}")
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

        again = chromium.new_context(locale="en-GB").new_page()
        choose_password(again, link, SECOND)
        guest.goto(world.base + "/wallet")
        expect(guest).to_have_url(re.compile("/sign-in"))  # signed in with the old password, so signed out
        for one in (guest, again):
            one.context.close()


def test_a_link_can_be_taken_by_hand_without_scripts(world: World, chromium: Browser) -> None:
    with world.visit(chromium, "owner", java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(f"/team/users/{world.one('select id from app_user where email = ' + repr('viewer@demo.example'))}?lang=en")
        page.get_by_role("button", name="Make a link for a new password").click()
        assert "/new-password/" in page.locator("#f-link").input_value()
        expect(page.get_by_role("button", name="Copy the link")).to_be_hidden()
