"""The shell and every macro, on the gallery page, in a real browser."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.browser import checks
from tests.browser.gallery import create_gallery

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("shell"), pytest.mark.skipif(not os.path.exists(checks.CHROMIUM), reason="no Chromium here")]


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    with checks.serve(create_gallery()) as address:
        yield address


@pytest.fixture(scope="module")
def last_tab(chromium: Browser) -> Iterator[checks.LastTab]:
    last = checks.LastTab(chromium)
    yield last
    last.close()


def opened(last_tab: checks.LastTab, url: str, lang: str) -> Page:
    """A page in a wide, light tab."""
    tab = last_tab.of(checks.View(lang), [])
    tab.open(url)
    return tab.page


@pytest.mark.parametrize("status", [400, 403, 404, 409, 429, 500])
@pytest.mark.parametrize("view", [checks.View("zh", "light", 360), checks.View("en", "dark", 1280)], ids=lambda view: view.name)
def test_error_pages(last_tab: checks.LastTab, base: str, status: int, view: checks.View) -> None:
    faults = checks.check_tab(last_tab.of(view, []), f"{base}/error/{status}", view, expected_console=str(status))
    assert faults == []


@pytest.mark.parametrize("view", checks.VIEWS, ids=lambda view: view.name)
def test_gallery_holds_every_check(last_tab: checks.LastTab, base: str, view: checks.View) -> None:
    faults = checks.check_tab(last_tab.of(view, []), base + "/", view, weigh=False)
    assert faults == []


@pytest.mark.parametrize("query", ["?errors=1", "?flash=1"])
def test_states_of_the_gallery(last_tab: checks.LastTab, base: str, query: str) -> None:
    view = checks.View("zh", "dark", 360)
    assert checks.check_tab(last_tab.of(view, []), base + "/" + query, view, weigh=False) == []


def test_parts_of_a_page_fold_on_phones_only(last_tab: checks.LastTab, base: str) -> None:
    tab = last_tab.of(checks.View("en", "light", 360), [])
    tab.open(base + "/?lang=en")
    assert not tab.page.get_by_text("What there is to say.").is_visible()
    assert not tab.page.locator(".jump").is_visible()
    tab.page.locator("summary", has_text="active on 18 of 28 days").click()
    assert tab.page.get_by_text("What there is to say.").is_visible()
    tab.open(base + "/?lang=en&again=1#part-people")
    assert tab.page.get_by_text("Who they are.").is_visible(), "a link into a part opens it"
    assert not tab.page.get_by_text("What there is to say.").is_visible()
    wide = opened(last_tab, base + "/?lang=en", "en")
    assert wide.get_by_text("What there is to say.").is_visible()
    assert wide.locator(".jump").is_visible()
    assert wide.locator(".part > summary:visible").count() == 0
    assert [wide.get_by_role("heading", name=name, exact=True).count() for name in ("Use", "People")] == [1, 1]


def test_a_broken_page_fails(chromium: Browser) -> None:
    """The checks themselves work: a page with known faults is caught by each of them."""
    app = create_gallery()
    bad = '<html lang="en"><h1>A</h1><h1>B</h1><img src="/x.png"><p style="width:900px">x</p><script>1</script><button class="btn-primary">a</button>'
    app.add_url_rule("/broken", "broken", lambda: bad)
    with checks.serve(app) as address:
        text = " ".join(checks.check_page(chromium, address + "/broken", checks.View("zh", "light", 360)))
    for fault in ("axe image-alt", "2 h1", "style attribute", "inline script", "lang is en", "policy:", "console:", "skip link"):
        assert fault in text, f"{fault} not found in {text}"


def test_failed_form_focuses_the_summary_and_links_to_fields(last_tab: checks.LastTab, base: str) -> None:
    page = opened(last_tab, base + "/?errors=1&lang=zh", "zh")
    assert page.title().startswith("错误：")
    assert page.evaluate("document.activeElement.className") == "error-summary"
    page.locator(".error-summary a").first.click()
    assert page.evaluate("document.activeElement.id") == "f-amount"
    assert page.input_value("#f-amount") == "50"


def test_dialog_returns_the_focus(last_tab: checks.LastTab, base: str) -> None:
    page = opened(last_tab, base + "/?lang=en", "en")
    page.locator("[data-open=d1]").focus()
    page.keyboard.press("Enter")
    assert page.locator("#d1").is_visible()
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.dataset.open") == "d1"


def test_list_keys_and_double_submit(last_tab: checks.LastTab, base: str) -> None:
    page = opened(last_tab, base + "/?lang=en", "en")
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.textContent") == "TU-2026-0001"
    page.keyboard.press("k")
    assert page.evaluate("document.activeElement.textContent") == "TU-2026-0000"
    posts: list[str] = []
    page.on("request", lambda request: posts.append(request.url) if request.method == "POST" else None)
    page.route("**/*", lambda route: route.abort() if route.request.method == "POST" else route.continue_())
    page.evaluate("() => { const b = document.querySelector('form.sheet [type=submit]'); b.click(); b.click(); }")
    page.wait_for_timeout(200)
    assert len(posts) == 1
    page.unroute_all()


def test_skip_link_comes_first_and_focus_is_visible(last_tab: checks.LastTab, base: str) -> None:
    page = opened(last_tab, base + "/?lang=zh", "zh")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip-link"
    for _step in range(12):
        page.keyboard.press("Tab")
        width = page.evaluate("parseFloat(getComputedStyle(document.activeElement).outlineWidth)")
        assert width >= 2, page.evaluate("document.activeElement.outerHTML.slice(0, 100)")


def test_pages_print_without_navigation(last_tab: checks.LastTab, base: str) -> None:
    page = opened(last_tab, base + "/?lang=zh", "zh")
    page.emulate_media(media="print")
    assert not page.locator(".shell").is_visible()
    assert not page.locator(".filters").is_visible()
    assert page.locator("h1").is_visible()
    assert page.locator("table").first.is_visible()
    page.emulate_media(media="screen")


def test_filters_and_menus_work_without_scripts(chromium: Browser, base: str) -> None:
    context = checks.new_context(chromium, checks.View("en", "light", 360), java_script_enabled=False)
    page, _seen = checks.open_page(context, base + "/?lang=en")
    page.locator(".shell-more summary").click()
    assert page.locator(".shell-more nav a").first.is_visible()
    page.locator(".shell-more summary").click()
    page.fill("#f-q", "north")
    page.get_by_role("button", name="Query").click()
    assert "q=north" in page.url
    assert not page.locator("[data-dismiss]:visible").count()
    context.close()


def test_twice_the_text_loses_nothing(chromium: Browser, base: str) -> None:
    """200 % text at 1280 px is the layout of 640 px (WCAG 1.4.4); at 320 px it reflows (1.4.10)."""
    for width in (640, 320):
        context = checks.new_context(chromium, checks.View("en", "light", width))
        page, _seen = checks.open_page(context, base + "/?lang=en&errors=1")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        context.close()


def test_hidden_figures_equal_the_chart(last_tab: checks.LastTab, base: str) -> None:
    """The waterfall's drawn words are those of its data table."""
    page = opened(last_tab, base + "/?lang=en", "en")
    drawn = page.locator("#waterfall .wf-cols text.value").all_text_contents()
    assert drawn == page.locator("#waterfall table td").all_text_contents()
