"""Flask behind the event loop, served by the real web server."""

import http.client
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from core.embedded.process import Child, free_port, wait_until
from core.security_headers import HEADERS

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {
    "DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none", "REDIS_URL": "redis://127.0.0.1:9", "STRIPE_API_KEY": "sk_test_none",
    "STRIPE_WEBHOOK_SECRET": "whsec_none",
    "SECRET_KEY": "only-for-tests" * 3, "WEB_THREADS": "4",
}  # fmt: skip


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a line for every stream that was closed."""
    told = tmp_path_factory.mktemp("served") / "closed"
    told.write_text("")
    return told


@pytest.fixture(scope="module")
def url(closed: Path) -> Iterator[str]:
    port = free_port()
    command = [
        sys.executable, "-m", "granian", "--interface", "rsgi", "--loop", "uvloop", "--http", "1", "--factory", "--host", "127.0.0.1", "--port", f"{port}",
        "--workers", "1",
        "--runtime-mode", "st", "--no-ws", "--log-level", "warning", "tests.core.served_app:create_server",
    ]  # fmt: skip
    environment = {**os.environ, **ENVIRONMENT, "PORT": f"{port}", "CLOSED": f"{closed}", "PYTHONPATH": f"{ROOT}"}
    web = Child("web", command, log=closed.parent / "web.log", env=environment, cwd=ROOT)

    def answers() -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/echo/x", timeout=1, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    wait_until("the web server", answers, web, timeout_s=60)
    yield f"http://127.0.0.1:{port}"
    web.stop()


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, trust_env=False, timeout=20) as made:
        yield made


def raw(url: str, request: bytes) -> bytes:
    """The answer to a request as it stands on the wire."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as wire:
        wire.sendall(request)
        answer = b""
        while part := wire.recv(65536):
            answer += part
    return answer


def test_flask_sees_the_request_as_it_was_sent(client: httpx.Client, url: str) -> None:
    answer = client.post(
        "/echo/a%20b/%E4%BD%A0%E5%A5%BD?q=%E5%A5%BD&q2=a%20b",
        content="body 体".encode(), headers=[("X-Several", "1"), ("X-Several", "2"), ("Cookie", "a=1; b=2")],
    )  # fmt: skip
    told = answer.json()
    assert (told["method"], told["rest"], told["body"]) == ("POST", "a b/你好", "body 体")
    assert told["query"] == {"q": "好", "q2": "a b"}
    assert told["cookies"] == {"a": "1", "b": "2"}
    assert told["x"] == "1,2"
    assert told["url"].startswith(url)
    assert (told["SERVER_NAME"], told["SERVER_PORT"], told["REMOTE_ADDR"], told["wsgi.url_scheme"]) == ("127.0.0.1", url.rsplit(":", 1)[1], "127.0.0.1", "http")
    assert HEADERS.items() <= {name.title(): value for name, value in answer.headers.items()}.items()
    assert len(answer.headers["x-request-id"]) == 32


def test_a_path_that_is_no_text_is_an_answer_too(url: str) -> None:
    answer = raw(url, b"GET /echo/%FF%FE HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Several: \xff\r\n\r\n")
    assert answer.split(b" ")[1] in (b"200", b"400", b"404")


def test_a_query_that_was_not_encoded_is_read_as_it_was_meant(url: str) -> None:
    answer = raw(url, "GET /echo/x?q=好é HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert answer.split(b" ")[1] == b"200"
    assert json.loads(answer.split(b"\r\n\r\n", 1)[1])["query"] == {"q": "好é"}


def test_a_lane_that_fails_leaves_the_request_to_flask(client: httpx.Client) -> None:
    answer = client.post("/echo/express", content=b"{}", headers={"Authorization": "Bearer broken", "Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["rest"]) == (200, "express")


def test_a_head_request_has_the_length_and_no_body(client: httpx.Client) -> None:
    whole, head = client.get("/echo/x"), client.head("/echo/x")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == whole.headers["content-type"]


def test_an_answer_without_a_body(client: httpx.Client) -> None:
    answer = client.get("/nothing")
    assert (answer.status_code, answer.content) == (204, b"")


def test_what_is_too_long_is_refused(client: httpx.Client, url: str) -> None:
    assert client.post("/echo/x", content=b"x" * 99_999).status_code == 200
    assert client.post("/echo/x", content=iter([b"x" * 9_999] * 10)).json()["body"] == "x" * 99_990
    assert client.post("/echo/x", content=iter([b"x" * 50_000] * 10)).status_code == 413
    declared = raw(url, b"POST /echo/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 100001\r\n\r\n")
    assert declared.split(b" ")[1] == b"413"


@pytest.mark.parametrize("parts", [0, 1, 40])
def test_a_stream_arrives_whole_and_is_closed(client: httpx.Client, closed: Path, parts: int) -> None:
    before = closed.read_text().count("closed")
    assert len(client.get(f"/stream?parts={parts}").content) == parts * 100_000
    _until(lambda: closed.read_text().count("closed") == before + 1)


def test_a_stream_whose_reader_goes_away_is_closed(url: str, closed: Path) -> None:
    before = closed.read_text().count("closed")
    with httpx.stream("GET", f"{url}/stream?parts=100000", trust_env=False) as answer:
        next(answer.iter_raw())
    _until(lambda: closed.read_text().count("closed") == before + 1)


def test_a_long_answer_is_streamed_with_its_length(client: httpx.Client) -> None:
    answer = client.get("/large")
    assert (len(answer.content), answer.headers["content-length"]) == (3_000_000, "3000000")


def test_a_bug_is_a_500_and_the_server_lives_on(client: httpx.Client) -> None:
    assert client.get("/broken").status_code == 500
    assert client.get("/echo/x").status_code == 200


def test_the_lane_answers_what_it_understands_and_flask_the_rest(client: httpx.Client) -> None:
    def ask(key: str = "good", body: bytes = b"{}", query: str = "", content_type: str = "application/json") -> httpx.Response:
        return client.post(f"/echo/express{query}", content=body, headers={"Authorization": f"Bearer {key}", "Content-Type": content_type})

    express = ask()
    assert (express.status_code, express.json()) == (201, {"express": True})
    assert HEADERS.items() <= {name.title(): value for name, value in express.headers.items()}.items()
    assert len(express.headers["x-request-id"]) == 32
    for other in (ask(key="bad"), ask(body=b" " * 101), ask(query="?a=1"), ask(content_type="text/plain")):
        assert other.json()["rest"] == "express"
    assert ask(key="bad", body=b"kept").json()["body"] == "kept", "the lane has read it, and Flask reads it again"


def test_the_lane_does_not_wait_for_threads(url: str) -> None:
    """All threads are busy, and the lane answers all the same."""
    waiting = [threading.Thread(target=httpx.get, args=(f"{url}/slow",), kwargs={"timeout": 20, "trust_env": False}) for _ in range(8)]
    for one in waiting:
        one.start()
    time.sleep(0.5)
    began = time.monotonic()
    connection = http.client.HTTPConnection(url.removeprefix("http://"))
    connection.request("POST", "/echo/express", b"{}", {"Authorization": "Bearer good", "Content-Type": "application/json"})
    assert connection.getresponse().status == 201
    assert time.monotonic() - began < 2, "those before it take three seconds each, two rounds of four"
    for one in waiting:
        one.join()


def _until(condition: object) -> None:
    deadline = time.monotonic() + 20
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)
