"""Buying `usage-pack` through HTTP against what PostgreSQL can do at best, against an empty route, and on one hot wallet."""

import json
import uuid

from benchmarks import load
from benchmarks.figures import figure, tell
from benchmarks.stage import HERE, fill, stage

MEMBERS, PAIRS, SECONDS = 1_000, 7, 3
CONNECTIONS = 64  # what comes while a call is under way goes together (decision 0010); raw SQL is at its best with the 16 it gets
MOST_A_SECOND = 15_000  # requests made ready
PATH = "/api/v1/listings/usage-pack/orders"


def _requests(path: str, keys: list[str], seconds: float) -> list[bytes]:
    bodies = (json.dumps({"id": str(uuid.uuid4()), "price_minor": 100}).encode() for _ in range(int(MOST_A_SECOND * seconds)))
    return [load.request("POST", path, keys[n % len(keys)], body) for n, body in enumerate(bodies)]


def _told(done: load.Load) -> str:
    return f"{done.per_second:.0f}/s p50 {done.percentile_ms(50):.1f} ms p99 {done.percentile_ms(99):.1f} ms"


def measure() -> None:
    """Print purchase_vs_raw, purchase_vs_empty and purchase_hot."""
    with stage() as on:
        keys = fill(on.start(), MEMBERS, 10**12)
        on.psql("-f", str(HERE / "raw_purchase.sql"))
        on.serve()

        def http(path: str, of: list[str], seconds: float = SECONDS) -> load.Load:
            done = load.run(on.port, _requests(path, of, seconds), connections=CONNECTIONS, seconds=seconds)
            assert set(done.statuses) == {201}, f"{path}: {done.statuses}"
            return done

        http(PATH, keys, 3), http("/api/v1/empty", keys, 1)  # warm up
        on.psql("-c", "vacuum analyze")  # as autovacuum does after a minute; tables that were vacuumed while empty are planned for as empty
        raw, empty, hot = [], [], []
        for n in range(PAIRS):
            peer = on.pgbench(HERE / "raw_purchase.pgbench", {"wallets": 100_000}, SECONDS)
            spread = http(PATH, keys)
            nothing = http("/api/v1/empty", keys)
            one = http(PATH, keys[:1])
            raw.append(spread.per_second / peer)
            empty.append(spread.per_second / nothing.per_second)
            hot.append(one.per_second / spread.per_second)
            tell(f"{n + 1}/{PAIRS} raw {peer:.0f}/s, purchase {_told(spread)}, empty {nothing.per_second:.0f}/s, hot {_told(one)}")
        on.verify()
        figure("purchase_vs_raw", raw, 0.40)
        figure("purchase_vs_empty", empty, 0.35)
        figure("purchase_hot", hot, 0.50)
