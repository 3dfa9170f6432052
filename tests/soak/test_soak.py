"""The product under load, while its processes are killed and its servers stopped: nothing lost, nothing doubled, clear answers, and it recovers by itself.

One product for all; each test leaves it running and its books proven.
"""

import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import httpx
import psutil
import pytest

from core.ids import new_id
from tests.soak.product import PATIENCE_S, WEB_SERVERS, Load, Product, moved, running

# In the group of the pages, so that it does not run beside a whole round of them: how long things take is part of what it looks at.
pytestmark = [pytest.mark.long, pytest.mark.timeout(600), pytest.mark.xdist_group("world")]
KILLS = 8


@pytest.fixture(scope="module")
def product() -> Iterator[Product]:
    with running() as found:
        yield found


@pytest.fixture(autouse=True)
def books_hold_afterwards(product: Product) -> Iterator[None]:
    product.wait_until(product.is_ready, "the product to be ready")
    yield
    product.assert_books_hold()
    assert product.errors_logged() == []


def rows_of(product: Product) -> dict[str, int]:
    """How many of what the clients make there are."""
    return {
        "order": product.one("select count(*) from store_order o join listing l on l.id = o.listing_id where l.slug = 'usage-pack'"),  # licences renew too
        "hold": product.one("select count(*) from hold"),
        "top_up": product.one("select count(*) from top_up where method = 'bank_transfer' and auto_number is null and state = 'settled'"),
    }  # fmt: skip


def assert_each_happened_once(product: Product, load: Load, before: dict[str, int]) -> None:
    """What was answered with success is there, what is there was answered, and asking again changes nothing."""
    assert load.broken == []
    after = rows_of(product)
    for name, counted in (("order", "order"), ("hold", "hold"), ("top_up", "confirmation")):
        assert after[name] - before[name] == len(load.done(counted)), name
    there = {str(row[0]) for row in product.sql("select id from store_order")}
    assert {one.id for one in load.done("order")} <= there
    captured = product.one("select coalesce(sum(captured_minor), 0) from hold where id = any(%s::uuid[])", [one.id for one in load.done("hold")])
    assert captured == sum(one.body["amount_minor"] for one in load.done("capture"))
    with httpx.Client(base_url=product.base, timeout=20, trust_env=False) as client:
        for one in random.Random(3).sample(load.sent, min(60, len(load.sent))):
            status, answer = one.status, one.answer
            load.send(client, one)
            if status in (200, 201):  # what was refused may be granted by now: a failed request does not use its id up
                assert (one.status, one.answer.get("id"), one.answer.get("total_minor")) == (status, answer.get("id"), answer.get("total_minor")), one


def send_clock(product: Product, days: int) -> None:
    headers = {"Authorization": f"Bearer {product.keys['operator']}"}
    answer = httpx.post(f"{product.base}/api/v1/clock", json={"days": days}, headers=headers, timeout=20, trust_env=False)
    assert answer.status_code == 202, answer.text


def test_one_request_fifty_times_at_once_is_one_order(product: Product) -> None:
    before, key, body = rows_of(product), product.keys[product.customers[0]], {"id": str(new_id()), "price_minor": product.price_minor, "quantity": 2}

    def send(_n: int) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.post(f"{product.base}/api/v1/listings/usage-pack/orders", json=body, headers=headers, timeout=60, trust_env=False)

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(send, range(50)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    assert rows_of(product)["order"] == before["order"] + 1


def test_mixed_load_deadlocks_nowhere(product: Product) -> None:
    """Purchases, holds, top-ups, exports and reads, while the clock lives through ten days of renewals, expiry, recognition and documents."""
    deadlocks = "select deadlocks from pg_stat_database where datname = 'backoffice'"
    before, known = rows_of(product), product.one(deadlocks)
    began, _moving = moved(product)
    with Load(product, threads=8, seed=1) as load:
        send_clock(product, 10)
        time.sleep(15)
    product.wait_until(lambda: not moved(product)[1], "the clock to arrive", timeout_s=240)
    assert moved(product)[0] - began >= timedelta(days=10)
    assert len(load.done("order")) > 20
    assert set(load.seen) <= {"200", "201", "402", "404", "409"}, load.seen
    assert_each_happened_once(product, load, before)
    assert product.one(deadlocks) == known


def test_processes_may_be_killed_at_any_point(product: Product) -> None:
    """Workers and web processes are killed without warning, again and again, while members buy and the clock moves."""
    chance, before = random.Random(5), rows_of(product)
    began, _moving = moved(product)
    killed = []
    with Load(product, threads=6, seed=2) as load:
        send_clock(product, 8)
        for number in range(KILLS):
            time.sleep(chance.uniform(0.3, 2.5))
            word = ("work", "granian")[number % 2]
            victims = product.run.processes(word)
            if victims:
                victim = chance.choice(victims)
                try:
                    victim.kill()
                    killed.append(word)
                except psutil.NoSuchProcess:
                    continue
        product.wait_until(product.is_ready, "the web server to be back")
        time.sleep(2)
    product.wait_until(lambda: not moved(product)[1], "the clock to arrive", timeout_s=240)  # a worker that died often is started again ever more slowly
    assert {"work", "granian"} <= set(killed)
    assert moved(product)[0] - began >= timedelta(days=8)
    assert len(load.done("order")) > 20
    assert_each_happened_once(product, load, before)


def test_a_database_that_goes_away_is_told_and_recovered_from(product: Product) -> None:
    product.wait_until(lambda: len(product.run.processes("granian")) == 2 * WEB_SERVERS, "every web server to be back from what came before")
    before, web = rows_of(product), {process.pid for process in product.run.processes("granian")}
    with Load(product, threads=6, seed=3) as load:
        time.sleep(1)
        for away_s in (2.0, 4.0):
            product.postgres.stop()
            time.sleep(0.5)
            told = product.get("/api/v1/clock")
            assert (told.status_code, told.json()["code"]) == (503, "unavailable")
            assert int(told.headers["Retry-After"]) > 0
            assert product.get("/readyz").json()["checks"]["database"] != "ok"
            time.sleep(away_s)
            product.postgres.start()
            assert product.wait_until(product.is_ready, "the product to find its database again") < 10
            time.sleep(2)
    assert load.seen["503"] > 0
    assert {process.pid for process in product.run.processes("granian")} == web, "the web server outlives its database"
    assert_each_happened_once(product, load, before)
    send_clock(product, 1)
    assert product.wait_until(lambda: not moved(product)[1], "a worker to find its database again") < PATIENCE_S


def test_a_queue_that_goes_away_keeps_nobody_from_buying(product: Product) -> None:
    before = rows_of(product)
    began, _moving = moved(product)
    with Load(product, threads=6, seed=4) as load:
        time.sleep(1)
        product.valkey.stop()
        bought = len(load.done("order"))
        send_clock(product, 2)  # is kept, and made up for
        time.sleep(3)
        assert product.get("/readyz").status_code == 503
        assert len(load.done("order")) > bought
        product.valkey.start()
        product.valkey.wait()
        assert product.wait_until(product.is_ready, "the product to find its queue again") < 10
    assert set(load.seen) <= {"200", "201", "402", "404", "409"}, load.seen
    product.wait_until(lambda: not moved(product)[1], "a worker to take the work up again")
    assert moved(product)[0] - began >= timedelta(days=2)
    assert_each_happened_once(product, load, before)
