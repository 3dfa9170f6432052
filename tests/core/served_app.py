"""A small application that `test_server.py` lets Granian serve."""

import os
import re
import time
from collections.abc import Iterator

from flask import Flask, Response, request

from core import logging, security_headers
from core.server import ExpressLane, Server
from core.settings import Settings

PART = b"x" * 100_000


def create_server() -> Server:
    app = Flask("served")
    app.config["MAX_CONTENT_LENGTH"] = 100_000
    app.extensions["settings"] = Settings.from_env()
    logging.init_app(app)
    security_headers.init_app(app)

    @app.route("/echo/<path:rest>", methods=["GET", "POST", "DELETE"])
    def echo(rest: str) -> dict[str, object]:
        environ = {name: f"{request.environ.get(name)}" for name in ("SERVER_NAME", "SERVER_PORT", "REMOTE_ADDR", "wsgi.url_scheme")}
        return environ | {
            "method": request.method, "rest": rest, "query": request.args, "body": request.get_data(as_text=True), "cookies": request.cookies,
            "x": request.headers.get("X-Several"), "url": request.url,
        }  # fmt: skip

    @app.get("/stream")
    def stream() -> Response:
        many = int(request.args["parts"])

        def parts() -> Iterator[bytes]:
            try:
                for _ in range(many):
                    yield PART
            finally:
                with open(os.environ["CLOSED"], "a") as told:
                    told.write("closed\n")

        return Response(parts(), mimetype="application/octet-stream")

    @app.get("/large")
    def large() -> Response:
        return Response(PART * 30, mimetype="application/octet-stream")

    @app.get("/nothing")
    def nothing() -> tuple[str, int]:
        return "", 204

    @app.get("/slow")
    def slow() -> str:
        time.sleep(3)
        return "slow"

    @app.get("/broken")
    def broken() -> str:
        raise RuntimeError("a bug")

    async def express(path: object, key: str, body: bytes) -> tuple[int, str] | None:
        if key == "broken":
            raise RuntimeError("a bug in a lane")
        return (201, '{"express":true}') if key == "good" else None

    return Server(app, [ExpressLane("POST", re.compile("/echo/express"), 100, express)])
