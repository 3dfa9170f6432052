"""The finance console: prepaid balances, roll-forward, journal, account balances, and who may see them."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, event, text

from billing.finance import prepaid
from core.db import SYSTEM, db, transaction
from tests.billing.books import as_owner
from tests.billing.finance.finance_world import JUNE, World, make_world, stop_the_clock
from tests.factories import make_member
from tests.sign_in import bearer, client_as

MAY_END = "2026-05-31 23:59"


@pytest.fixture
def world(app: Flask, monkeypatch: pytest.MonkeyPatch) -> World:
    stop_the_clock(monkeypatch)
    return make_world()


@pytest.fixture
def finance(app: Flask, world: World) -> FlaskClient:
    return client_as(app, "finance")


@contextmanager
def counted() -> Iterator[list[str]]:
    """The statements sent meanwhile."""
    seen: list[str] = []

    def note(_connection, _cursor, statement, *_rest):  # type: ignore[no-untyped-def]
        seen.append(statement)

    event.listen(db.engine, "before_cursor_execute", note)
    yield seen
    event.remove(db.engine, "before_cursor_execute", note)


def figures(page: str) -> list[str]:
    return re.findall(r'<dd class="figure-value">(?:<a[^>]*>)?([^<]+)', page)


def table(page: str, caption: str) -> dict[str, list[str]]:
    """Rows of a table by their head."""
    body = re.search(rf"<caption[^>]*>{caption}</caption>(.*?)</table>", page, re.S)
    assert body, f"no table {caption}"
    rows = re.findall(r'<tr[^>]*>\s*<th scope="row"[^>]*>(.*?)</th>(.*?)</tr>', body[1], re.S)
    plain = lambda cell: re.sub(r"<[^>]+>", "", cell).strip()  # noqa: E731
    return {
        plain(re.sub(r'<span class="note">.*?</span>', "", head)): [plain(cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", cells, re.S)]
        for head, cells in rows
    }


def test_a_month_end_means_its_last_instant_in_the_entitys_zone(finance: FlaskClient) -> None:
    page = finance.get(f"/finance/prepaid-balances?lang=en&at={MAY_END}").text
    assert figures(page) == ["¥850.00", "¥760.00", "¥90.00"]  # the purchase at 23:59:30 is within it
    assert "2026-05-31 23:59:59" in page
    assert "Asia/Shanghai" in page
    assert figures(finance.get("/finance/prepaid-balances?lang=en&at=2026-05-31 23:58").text) == ["¥1,150.00", "¥1,000.00", "¥150.00"]
    assert figures(finance.get("/finance/prepaid-balances?lang=en&at=2026-05-31").text) == ["¥850.00", "¥760.00", "¥90.00"]
    assert "Ties to the ledger, difference 0.00" in page


def test_now_is_the_default_and_tiles_paid_and_bonus_apart(finance: FlaskClient) -> None:
    page = finance.get("/finance/prepaid-balances?lang=en").text
    assert figures(page) == ["¥780.00", "¥740.00", "¥40.00"]
    assert page.count("btn-primary") == 1


def test_the_roll_forward_leads_from_opening_to_closing(finance: FlaskClient) -> None:
    page = finance.get("/finance/prepaid-balances?lang=en&at=2026-06-20 12:00&since=2026-06-01").text
    rows = table(page, "Roll-forward")
    assert {name: cells[0] for name, cells in rows.items()} == {
        "Opening": "850.00", "Topped up": "+20.00", "Bonus granted": "0.00", "Used": "−40.00", "Refunded": "0.00", "Lapsed": "−50.00",
        "Other changes": "0.00", "Closing": "780.00",
    }  # fmt: skip
    may = table(finance.get(f"/finance/prepaid-balances?lang=en&at={MAY_END}").text, "Roll-forward")
    assert [cells[0] for cells in may.values()] == ["0.00", "+1,000.00", "+150.00", "−300.00", "0.00", "0.00", "0.00", "850.00"]


@pytest.mark.parametrize("at", ["2026-13-01", "tomorrow", "2030-01-01", "2026-06-01 25:00"])
def test_an_instant_that_is_none_is_said_beside_the_field(finance: FlaskClient, at: str) -> None:
    answer = finance.get("/finance/prepaid-balances", query_string={"lang": "en", "at": at})
    assert answer.status_code == 422
    assert ("has not come yet" if at == "2030-01-01" else "Write the day and time like 2026-06-30 14:08.") in answer.text
    assert f'value="{at}"' in answer.text


def test_a_period_that_begins_after_its_end_is_refused(finance: FlaskClient) -> None:
    answer = finance.get("/finance/prepaid-balances?lang=en&at=2026-05-20&since=2026-05-21")
    assert answer.status_code == 422
    assert "The period must begin before its end." in answer.text


def test_before_the_first_money_the_page_says_so_and_leads_to_it(finance: FlaskClient) -> None:
    page = finance.get("/finance/prepaid-balances?lang=en&at=2026-01-01").text
    assert "No prepaid money at this time" in page
    assert "The first movement was at 2026-05-10 12:00:00." in page


def test_the_total_of_the_members_is_that_of_all_filtered_rows(finance: FlaskClient, world: World) -> None:
    page = finance.get("/finance/prepaid-balances?lang=en&at=2026-05-31&q=公司&show=all").text
    rows = table(page, "Members")
    assert rows["Total of all 2 rows"][:3] == ["760.00", "90.00", "850.00"]
    assert page.count(">Test member<") == 2
    one = table(finance.get(f"/finance/prepaid-balances?lang=en&at=2026-05-31&q={world.b.number}").text, "Members")
    assert one["Total of all 1 rows"][:3] == ["0.00", "50.00", "50.00"]
    assert "Nothing matches these filters" in finance.get("/finance/prepaid-balances?lang=en&q=nobody%25").text


@pytest.mark.parametrize("sort", ["balance", "number"])
def test_pages_of_members_follow_one_another_without_gaps(app: Flask, world: World, sort: str) -> None:
    made = [make_member(paid=100 * (1 + number % 3)) for number in range(7)]
    with transaction(SYSTEM):
        at = JUNE + timedelta(days=20)
        whole = prepaid.every_member("CNY", at, sort=sort, show="all")
        seen: list[prepaid.MemberBalance] = []
        after = None
        while True:
            page = prepaid.members("CNY", at, sort=sort, show="all", after=after, limit=3)
            assert (page.count, page.paid_minor, page.bonus_minor) == (10, 740_00 + sum(100 * (1 + n % 3) for n in range(7)), 40_00)
            seen += page.items
            if (after := page.next) is None:
                break
    assert seen == whole.items
    assert {one.id for one in seen} >= {member.id for member in made}
    if sort == "balance":
        assert [one.total_minor for one in seen] == sorted((one.total_minor for one in seen), reverse=True)


CORRUPTED = {
    "a wallet's recorded balance": ("update ledger_transaction set paid_after_minor = paid_after_minor + 7 where seq = 3 and book_id = :a", "+¥0.07", "¥0.07"),
    "a posting": ("update posting set amount_minor = amount_minor + 7 where source = 20 and book_id = :a", "+¥0.14", "¥0.14"),
    "two errors that cancel": ("update ledger_transaction set paid_after_minor = paid_after_minor + case when book_id = :a then 7 else -7 end"
        " where (book_id = :a and seq = 3) or (book_id = :b and seq = 3)", "¥0.00", "¥0.14"),
}  # fmt: skip


@pytest.mark.parametrize("case", CORRUPTED)
def test_a_difference_is_a_banner_with_amount_and_place(finance: FlaskClient, world: World, owner: Engine, case: str) -> None:
    statement, difference, unexplained = CORRUPTED[case]
    as_owner(owner, statement, **({"a": world.a.id} | ({"b": world.b.id} if ":b" in statement else {})))
    page = finance.get("/finance/prepaid-balances?lang=en").text
    assert "The balances do not tie to the ledger" in page
    assert f"differ by {difference}." in page
    assert f"Not explained over all wallets: {unexplained}." in page
    assert f'member={world.a.number}"' in page
    assert "proof-bad" in page


def test_the_journal_shows_moves_with_account_names_in_both_languages(finance: FlaskClient, world: World) -> None:
    page = finance.get("/finance/ledger?lang=en&from=2026-05-01&until=2026-06-20").text
    assert "Stripe clearing → Wallet, paid" in page
    assert "Wallet, bonus → Goodwill given" in page
    assert "Stripe 清算 → 钱包（实付）" in finance.get("/finance/ledger?lang=zh&from=2026-05-01&until=2026-06-20").text
    only = finance.get(f"/finance/ledger?lang=en&from=2026-05-01&until=2026-06-20&kind=expiry&member={world.b.number}").text
    assert only.count("<tr>") == 2
    assert "−50.00" in only


def test_the_journal_pages_through_everything_once(app: Flask, world: World) -> None:
    from billing.ledger import ledger_queries

    with transaction(SYSTEM) as session:
        every = session.scalar(text("select count(*) from ledger_transaction"))
        seen, after = [], None
        while True:
            page = ledger_queries.journal("CNY", JUNE - timedelta(days=90), JUNE + timedelta(days=9), after=after, limit=2)
            seen += [(entry.effective_at, entry.book_id, entry.seq) for entry in page.items]
            assert all(entry.lines for entry in page.items)
            if (after := page.next) is None:
                break
    assert len(seen) == len(set(seen)) == every == 6
    assert seen == sorted(seen, reverse=True)


def test_account_balances_sum_to_zero_as_of_an_instant(finance: FlaskClient, world: World) -> None:
    page = finance.get("/finance/ledger/accounts?lang=en&at=2026-05-31").text
    assert "Debits equal credits, difference 0.00" in page
    rows = table(page, "Account balances")
    assert rows["Wallet, paid"] == ["Liabilities", "--", "760.00"]
    assert rows["Wallet, bonus"] == ["Liabilities", "--", "90.00"]
    assert rows["Stripe clearing"] == ["Assets", "1,000.00", "--"]
    assert rows["Total"][1] == rows["Total"][2]
    assert set(table(finance.get(f"/finance/ledger/accounts?lang=en&member={world.b.number}&at=2026-05-31").text, "Account balances")) == {
        "Wallet, bonus",
        "Goodwill given",
        "Total",
    }


@pytest.mark.parametrize(
    "url", ["/finance/prepaid-balances", "/finance/prepaid-balances.csv", "/finance/ledger", "/finance/ledger/accounts", "/finance/statements"]
)
def test_only_finance_may_look(app: Flask, world: World, url: str) -> None:
    for role in ("csm", "reviewer", "operator"):
        assert client_as(app, role).get(url).status_code == 403
    assert client_as(app, "owner", world.a).get(url).status_code == 403
    assert app.test_client().get(url).status_code == 302
    assert client_as(app, "finance").get(url).status_code == 200


@pytest.mark.parametrize(
    "url", ["/finance/prepaid-balances?show=all", "/finance/ledger?from=2026-05-01", "/finance/ledger/accounts", "/finance/statements?member=会员"]
)
def test_a_page_asks_few_questions_and_as_many_for_ten_rows_as_for_fifty(app: Flask, world: World, url: str) -> None:
    client, numbers = client_as(app, "finance"), []
    for more in (10, 40):
        for _one in range(more):
            make_member(paid=500, at=JUNE + timedelta(days=5))
        with counted() as seen:
            assert client.get(url).status_code == 200
        numbers.append(len(seen))
    assert numbers[0] == numbers[1] <= 12


def test_the_api_answers_the_same_figures(app: Flask, world: World) -> None:
    client, headers = app.test_client(), bearer("operator")
    answer = client.get("/api/v1/finance/prepaid-balances", query_string={"at": "2026-05-31T23:59:59.999999+08:00", "limit": 1}, headers=headers)
    assert answer.status_code == 200
    found = answer.json
    expected = {
        "currency": "CNY", "timezone": "Asia/Shanghai", "paid_minor": 760_00, "bonus_minor": 90_00, "total_minor": 850_00, "difference_minor": 0,
        "ties_to_ledger": True, "matching": 2, "matching_minor": 850_00, "members_with_balance": 2,
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected
    assert [one["member_id"] for one in found["items"]] == [str(world.a.id)]
    following = client.get("/api/v1/finance/prepaid-balances", query_string={"at": found["as_of"], "limit": 1, "after": found["next"]}, headers=headers).json
    assert [one["member_id"] for one in following["items"]] == [str(world.b.id)]
    assert following["next"] is None


def test_the_api_refuses_what_it_cannot_answer(app: Flask, world: World) -> None:
    def get(headers: dict[str, str], **query: str) -> int:
        return app.test_client().get("/api/v1/finance/prepaid-balances", query_string=query, headers=headers).status_code

    finance, buyer = bearer("finance"), bearer("buyer", world.a)
    assert get(finance) == 200
    assert get(finance, at="2030-01-01T00:00:00Z") == 422
    assert get(finance, at="2026-05-31T00:00:00") == 422  # no offset
    assert get(finance, currency="USD") == 404
    assert get(finance, after="nonsense") == 400
    assert get(buyer) == 403
    assert get({}) == 401
