"""A small HTTP load generator: keep-alive connections, one request at a time on each, prepared beforehand."""

import selectors
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Load:
    """What came of a run: answers by status, and each answer's time in seconds."""

    seconds: float = 0.0
    statuses: dict[int, int] = field(default_factory=dict)
    times_s: list[float] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        return len(self.times_s) / self.seconds

    def percentile_ms(self, percent: float) -> float:
        ordered = sorted(self.times_s)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] * 1000


class _Connection:
    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent_at = 0.0
        self.buffer = b""

    def send(self, request: bytes) -> None:
        self.sent_at = time.perf_counter()
        self.socket.sendall(request)

    def receive(self) -> int | None:
        """The status once a whole answer has come."""
        part = self.socket.recv(65_536)
        if not part:
            raise ConnectionError("the server closed a connection")
        self.buffer += part
        head, separator, body = self.buffer.partition(b"\r\n\r\n")
        if not separator:
            return None
        lowered = head.lower()
        at = lowered.index(b"content-length:") + 15
        length = int(lowered[at:].split(b"\r\n", 1)[0])
        if len(body) < length:
            return None
        self.buffer = b""
        return int(head[9:12])


def request(method: str, path: str, key: str, body: bytes) -> bytes:
    """One HTTP/1.1 request as it goes over the wire."""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def run(port: int, requests: Sequence[bytes], *, connections: int, seconds: float) -> Load:
    """Keep every connection busy for `seconds`, then wait for the last answers. It shares the machine with the server, so `requests` are made beforehand."""
    load, selector, waiting = Load(), selectors.DefaultSelector(), iter(requests)
    pool = [_Connection(port) for _ in range(connections)]
    for connection in pool:
        selector.register(connection.socket, selectors.EVENT_READ, connection)
    started = time.perf_counter()
    end, busy = started + seconds, 0
    for connection in pool:
        connection.send(next(waiting))
        busy += 1
    while busy:
        for key, _ in selector.select(30):
            connection = key.data
            status = connection.receive()
            if status is None:
                continue
            answered = time.perf_counter()
            load.times_s.append(answered - connection.sent_at)
            load.statuses[status] = load.statuses.get(status, 0) + 1
            following = next(waiting, None) if answered < end else None
            if following is not None:
                connection.send(following)
            else:
                busy -= 1
    load.seconds = time.perf_counter() - started
    assert len(load.times_s) < len(requests), "more requests are needed for so fast a server"
    for connection in pool:
        connection.socket.close()
    return load
