"""Every page of the product in a real browser on the demo world: quickly in one view each, and (long) in all eight.

Queries are counted in this process, with an application of its own on the same database.
"""

import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import Browser, expect
from sqlalchemy import Select, event

from core.db import SYSTEM, db, transaction
from core.settings import Settings
from tests.browser import checks
from tests.browser.page_table import EMPTY_PATHS, MEMBER, NO_PAGE, PAGES, STAFF_PATHS, Page, places
from tests.browser.words import word_faults
from tests.browser.world import World
from tests.conftest import LonelyClient
from tests.memories import remember_for_long

pytestmark = [pytest.mark.browser, pytest.mark.timeout(420), pytest.mark.skipif(not os.path.exists(checks.CHROMIUM), reason="no Chromium here")]
QUERIES = 12


def view_of(n: int) -> checks.View:
    """In which of the eight views the n-th page of a list is looked at: neighbours in the same one, so that they share a tab."""
    return checks.VIEWS[n // 4 % len(checks.VIEWS)]


NAMED = [pytest.param(page, view_of(n), id=f"{n}-{page.name}") for n, page in sorted(enumerate(PAGES), key=lambda one: checks.VIEWS.index(view_of(one[0])))]
PRINTED = checks.View("zh", "light", 1280)


@pytest.fixture(scope="module")
def ids(world: World, chromium: Browser) -> dict[str, str]:
    """What the addresses of the table are filled with."""
    return places(world, chromium)


def test_every_page_is_in_the_table(_app: Flask) -> None:  # noqa: PT019 (no rows are needed, so `app` would empty tables for nothing)
    known = {page.endpoint for page in PAGES} | set(NO_PAGE)
    pages = {rule.endpoint for rule in _app.url_map.iter_rules() if "GET" in (rule.methods or ()) and not rule.rule.startswith("/api/")}
    assert pages - known == set(), "add these to page_table.PAGES"
    assert known - pages == set(), "these no longer exist"


@pytest.fixture(scope="module")
def last_tab(chromium: Browser) -> Iterator[checks.LastTab]:
    last = checks.LastTab(chromium)
    yield last
    last.close()


def faults_of(world: World, last_tab: checks.LastTab, role: str, path: str, view: checks.View, **options: Any) -> list[str]:
    tab = last_tab.of(view, world.cookies(last_tab.chromium, role))
    return checks.check_tab(tab, world.base + path, view, shots="pages", also=word_faults, **options)


@pytest.mark.parametrize(("page", "view"), NAMED)
def test_page(world: World, last_tab: checks.LastTab, ids: dict[str, str], page: Page, view: checks.View) -> None:
    assert faults_of(world, last_tab, page.role, page.path.format(**ids), view) == []


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("view", [view for view in checks.VIEWS if view.scheme == "light"], ids=lambda view: f"{view.lang}-{view.width}")
def test_every_page_in_every_view(world: World, last_tab: checks.LastTab, ids: dict[str, str], view: checks.View) -> None:
    """Each page is loaded in two languages at two widths, and each of those looked at in light and in dark."""
    found = {page.name: faults_of(world, last_tab, page.role, page.path.format(**ids), view, recolour=True) for page in PAGES}
    assert {name: faults for name, faults in found.items() if faults} == {}


# -- queries


@pytest.fixture(scope="module")
def counted(world: World, ids: dict[str, str], redis_server: str) -> Iterator[Flask]:
    """The application in this process, on the database of the demo world."""
    from app import create_app

    app = create_app(
        Settings(
            database_url=world.database_url, migration_database_url=world.database_url, redis_url=redis_server, stripe_api_key="sk_test_none",
            stripe_webhook_secret="whsec_none", stripe_api_base="http://127.0.0.1:9", secret_key="only-for-counting-queries-in-tests", demo=True,
        )
    )  # fmt: skip
    app.config["WTF_CSRF_ENABLED"] = False
    app.testing = True
    app.test_client_class = LonelyClient
    yield app
    with app.app_context():
        db.engine.dispose()


CONTROL = ("set local role", "savepoint", "release savepoint", "rollback to savepoint")


class Counter:
    """Signed-in clients, and how many statements a page of theirs takes."""

    def __init__(self, app: Flask, world: World) -> None:
        self.app, self.world = app, world
        self.clients: dict[str, FlaskClient] = {}

    def client(self, role: str) -> FlaskClient:
        if role not in self.clients:
            self.clients[role] = self.app.test_client()
            if role != "-":
                email, password = self.world.logins[role]
                answer = self.clients[role].post("/sign-in", data={"email": email, "password": password})
                assert answer.status_code == 303
        return self.clients[role]

    def statements(self, role: str, path: str) -> list[str]:
        seen: list[str] = []

        def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
            # What begins, names and ends a transaction or a part of it asks for nothing: begin and commit are not seen here either.
            if "set_config" not in statement and not statement.lower().startswith(CONTROL):
                seen.append(statement)

        client = self.client(role)
        with self.app.app_context():
            engine = db.engine
        event.listen(engine, "before_cursor_execute", note)
        try:
            answer = client.get(path)
        finally:
            event.remove(engine, "before_cursor_execute", note)
        assert answer.status_code == 200, f"{path}: {answer.status_code}"
        return seen


Counts = dict[tuple[str, str], int]


@pytest.fixture(scope="module")
def short_and_full(counted: Flask, world: World, ids: dict[str, str]) -> tuple[Counts, Counts]:
    """The queries of each page, once with at most three rows in any list, once with as many as it shows."""
    signed = ("invitations.show_acceptance", "new_password.show_form")  # their links only the running product can sign
    places = [(page.role, page.path.format(**ids)) for page in PAGES if page.endpoint not in signed]
    with pytest.MonkeyPatch.context() as patch:
        remember_for_long(counted, patch)  # nothing is looked up again on one page and not another
        counter, limit = Counter(counted, world), Select.limit
        with patch.context() as few:
            few.setattr(Select, "limit", lambda self, rows: limit(self, min(rows, 3) if isinstance(rows, int) else rows))
            short = {place: len(counter.statements(*place)) for place in places}
        return short, {place: len(counter.statements(*place)) for place in places}


def test_no_page_asks_the_database_often(short_and_full: tuple[Counts, Counts]) -> None:
    _short, full = short_and_full
    assert {place: count for place, count in full.items() if count > QUERIES} == {}


def test_long_lists_cost_as_many_queries_as_short_ones(short_and_full: tuple[Counts, Counts]) -> None:
    short, full = short_and_full
    assert {place: (short[place], full[place]) for place in full if full[place] > short[place] + 1} == {}


# -- empty states


@pytest.mark.parametrize("n", range(len(EMPTY_PATHS)), ids=lambda n: EMPTY_PATHS[n].strip("/").replace("/", "-"))
def test_pages_of_a_member_with_nothing(world: World, last_tab: checks.LastTab, n: int) -> None:
    member = "(select id from member where number = 'E00001')"
    if not world.sql(f"select {member} where {member} is not null"):
        world.sql(
            "insert into member (id, entity_id, number, name, name_en, industry, size, sales_cycle, channel, currency, state, csm_id, created_at)"
            f" select gen_random_uuid(), entity_id, 'E00001', '苏州空白有限公司', 'Blank', industry, size, sales_cycle, channel, currency, state, csm_id,"
            f" clock_timestamp() from member where id = {MEMBER}"
        )
        world.sql(f"select open_book(id, 'member', entity_id, currency, clock_timestamp()) from member where id = {member}")
        world.sql(
            "insert into app_user (id, email, name, role, password_hash, member_id, created_at)"
            f" select gen_random_uuid(), 'empty@demo.example', '空白', 'owner', password_hash, {member}, clock_timestamp()"
            " from app_user where email = 'owner@demo.example'"
        )
    world.logins["empty"] = ("empty@demo.example", world.logins["owner"][1])
    assert faults_of(world, last_tab, "empty", EMPTY_PATHS[n], view_of(n)) == []


@pytest.mark.parametrize("role", STAFF_PATHS)
def test_staff_pages_of_an_empty_vendor(_app: Flask, empty: None, last_tab: checks.LastTab, role: str) -> None:  # noqa: PT019 (no context of the test's own)
    """Nothing but one legal entity and the person who looks."""
    from marketplace.publisher import publishers
    from tests.factories import AT, make_entity
    from tests.sign_in import client_as

    with _app.app_context():
        entity_id, publisher_id = make_entity(), None
        if role == "publisher":
            with transaction(SYSTEM):
                publisher_id = publishers.ensure("new-one", "新发布者", "New one", "partner", 3_000, entity_id=entity_id, currency="CNY", at=AT).id
        client = client_as(_app, role, name="周敏", publisher_id=publisher_id)
    with checks.serve(_app) as base:
        cookie = client.get_cookie("session")
        assert cookie
        cookies = [{"name": "session", "value": cookie.value, "domain": urlsplit(base).hostname, "path": "/"}]
        for n, path in enumerate(STAFF_PATHS[role]):
            view = view_of(n)
            faults = checks.check_tab(last_tab.of(view, cookies), base + path, view, shots="empty", weigh=False, also=word_faults)
            assert (path, faults) == (path, [])


# -- keyboard, no scripts, paper


def test_a_wrong_top_up_says_so_and_keeps_what_was_written(world: World, chromium: Browser, ids: dict[str, str]) -> None:
    with world.visit(chromium, "owner", checks.View("zh")) as context:
        page = context.new_page()
        page.goto("/wallet/top-ups/new?lang=zh")
        page.fill("#f-amount", "0.5")
        page.locator("input[name=source]").last.check()
        page.locator("#f-amount").press("Enter")
        expect(page.locator(".error-summary")).to_be_focused()
        assert page.title().startswith("错误：")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.locator("#f-amount")).to_be_focused()
        assert page.input_value("#f-amount") == "0.5"
        assert "没有扣款" in page.inner_text("main") or "未扣款" in page.inner_text("main")


def test_buying_by_keyboard_alone(world: World, chromium: Browser) -> None:
    with world.visit(chromium, "owner") as context:
        page = context.new_page()
        page.goto("/store/usage-pack/buy?lang=en")
        button = page.locator("main .btn-primary")
        for _step in range(40):
            page.keyboard.press("Tab")
            if button.evaluate("node => node === document.activeElement"):
                break
        expect(button).to_be_focused()
        page.keyboard.press("Enter")
        page.wait_for_url("**/orders/*")


def test_list_keys_on_the_members_of_a_csm(world: World, chromium: Browser) -> None:
    with world.visit(chromium, "csm") as context:
        page = context.new_page()
        page.goto("/csm/members?lang=en")
        page.keyboard.press("j")
        page.keyboard.press("j")
        second = page.locator("table[data-keys] tbody tr").nth(1).locator("a").first
        expect(second).to_be_focused()
        page.keyboard.press("k")
        page.keyboard.press("/")
        expect(page.locator("input[type=search]").first).to_be_focused()
        page.keyboard.press("Tab")
        page.locator("h1").click()
        page.keyboard.press("?")
        expect(page.locator("#keys-help")).to_be_visible()
        page.keyboard.press("Escape")
        page.keyboard.press("j")
        address = page.evaluate("document.activeElement.href")
        page.keyboard.press("Enter")
        page.wait_for_url(address)


def test_search_filter_buy_and_bank_transfer_without_scripts(world: World, chromium: Browser) -> None:
    with world.visit(chromium, "owner", java_script_enabled=False) as context:
        page = context.new_page()
        page.goto("/store?lang=en")
        page.locator("input[type=search]").first.fill("mail")
        page.locator("form.filters button[type=submit]").click()
        assert "q=mail" in page.url
        assert page.locator(".tiles .tile").count() >= 1
        page.goto("/store/usage-pack/buy?lang=en")
        page.locator("main .btn-primary").click()
        page.wait_for_url("**/orders/*")
        page.goto("/wallet/top-ups/new?amount_minor=500000&lang=en")
        page.get_by_label("Bank transfer").check()
        page.get_by_role("button", name="Top up", exact=True).click()
        page.wait_for_url("**/wallet/top-ups/*")
        expect(page.locator("main")).to_contain_text("¥5,000.00")


@pytest.mark.parametrize(("role", "path"), [("owner", "/wallet/statement"), ("finance", "/finance/members/{member}/statement")])
def test_statements_print_without_navigation(world: World, chromium: Browser, ids: dict[str, str], role: str, path: str) -> None:
    with world.visit(chromium, role, PRINTED) as context:
        page = context.new_page()
        page.goto(path.format(**ids) + "?lang=zh")
        page.emulate_media(media="print")
        for hidden in (".shell", ".foot", ".filters", ".page-actions", ".skip-link", ".months"):
            assert page.locator(hidden + ":visible").count() == 0, hidden
        expect(page.locator("h1")).to_be_visible()
        assert page.locator(".figures").first.is_visible()
