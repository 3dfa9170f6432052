"""localstripe as the Stripe API of an installation that has no Stripe account.

Started with `python -m core.embedded.stripe`. Differs from the original command in three things: it listens on loopback
only, its state lives in a file of this checkout (the original shares `/tmp/localstripe.pickle` among all), and its
webhook is registered before the first request.
"""

import argparse
import asyncio
import contextlib
import os
import pickle
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
from aiohttp import web

from core.embedded.process import Child, free_port, wait_until

SAVE_EVERY_S = 0.1


class Stripe:
    """The embedded Stripe API as our child. `state` None keeps everything in memory."""

    def __init__(self, log: Path, *, state: Path | None, webhook_url: str = "", webhook_secret: str = "") -> None:
        self.log = log
        self.state = state
        self.webhook_url = webhook_url
        self.webhook_secret = webhook_secret
        self.port = free_port()
        self.child: Child | None = None

    @property
    def url(self) -> str:
        """What `STRIPE_API_BASE` has to be."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it without waiting; see `wait`."""
        command = [sys.executable, "-m", "core.embedded.stripe", "--port", str(self.port)]
        if self.state:
            command += ["--state", str(self.state)]
        if self.webhook_url:
            command += ["--webhook-url", self.webhook_url]
        root = Path(__file__).parents[2]
        env = dict(os.environ) | {"LOCALSTRIPE_WEBHOOK_SECRET": self.webhook_secret, "PYTHONPATH": str(root)}
        self.child = Child("stripe", command, log=self.log, env=env, cwd=root)

    def wait(self) -> None:
        """Wait until it answers. Raises ServiceError."""
        assert self.child

        def answers() -> bool:
            try:
                return httpx.get(f"{self.url}/js.stripe.com/v3/", timeout=2, trust_env=False).is_success
            except httpx.HTTPError:
                return False

        wait_until("The embedded Stripe", answers, self.child, timeout_s=60)

    def clear(self) -> None:
        """Forget every customer, card and payment (for tests)."""
        httpx.delete(f"{self.url}/_config/data", timeout=5, trust_env=False).raise_for_status()

    def stop(self) -> None:
        """Stop it; its state is saved."""
        if self.child:
            self.child.stop()


def serve(port: int, state: Path | None, webhook_url: str, webhook_secret: str) -> None:
    """Run the API until SIGTERM."""
    from localstripe import resources, webhooks
    from localstripe.server import app

    store = resources.store
    if state and state.exists():
        store.update(pickle.loads(state.read_bytes()))  # noqa: S301 (our own file, mode 600)
    unsaved = False

    def mark(_store: object) -> None:
        nonlocal unsaved
        unsaved = True

    resources.Store.dump_to_disk = mark  # the original writes everything on every single change

    def save() -> None:
        nonlocal unsaved
        if not state or not unsaved:
            return
        unsaved = False
        unfinished = state.with_suffix(".new")
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
            pickle.dump(dict(store), stream, protocol=pickle.HIGHEST_PROTOCOL)
        unfinished.replace(state)

    async def saving(_app: web.Application) -> AsyncIterator[None]:
        async def loop() -> None:
            while True:
                await asyncio.sleep(SAVE_EVERY_S)
                save()

        task = asyncio.create_task(loop())
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        save()

    if webhook_url:
        webhooks.register_webhook("backoffice", webhook_url, webhook_secret, None)
    app.cleanup_ctx.append(saving)
    web.run_app(app, host="127.0.0.1", port=port, print=None, handle_signals=True, shutdown_timeout=2)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--state", type=Path)
    parser.add_argument("--webhook-url", default="")
    args = parser.parse_args()
    serve(args.port, args.state, args.webhook_url, os.environ.get("LOCALSTRIPE_WEBHOOK_SECRET", ""))


if __name__ == "__main__":
    main()
