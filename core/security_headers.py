"""What every response carries: a strict Content-Security-Policy, compression, and long-lived fingerprinted assets.

Nothing of a page is inline and nothing comes from elsewhere; `img-src data:` is there for the small pictures inside
Bootstrap's own stylesheet.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import brotli  # type: ignore[import-untyped]
from flask import Flask, Response, current_app, g, request, url_for
from flask_compress import Compress

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
    "base-uri": "'none'",
}
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
ASSET_TYPES = {"text/css", "text/javascript", "application/javascript", "image/svg+xml"}
YEAR = "public, max-age=31536000, immutable"


def policy(form_targets: tuple[str, ...] = (), extra: dict[str, str] | None = None) -> str:
    """The policy as one header; `form_targets` are origins a form may redirect to (a payment page).

    `extra` adds sources to directives of one page: its view sets `g.csp_extra = {"script-src": "https://…"}`.
    """
    parts = dict(POLICY)
    parts["form-action"] = " ".join((parts["form-action"], *form_targets))
    for name, sources in (extra or {}).items():
        parts[name] = f"{parts[name]} {sources}" if name in parts else sources
    return "; ".join(f"{name} {value}" for name, value in parts.items())


@lru_cache(maxsize=256)
def _digest(path: Path, _modified_ns: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def asset(filename: str, endpoint: str = "static") -> str:
    """The URL of a static file with a fingerprint of its content, so that it may be cached for a year.

    `endpoint='bootstrap.static'` serves a file of Bootstrap-Flask. Looked up once a request: each icon of a page asks for the same file.
    """
    known: dict[tuple[str, str], str] = g.setdefault("assets", {})
    if (filename, endpoint) not in known:
        known[filename, endpoint] = _address(filename, endpoint)
    return known[filename, endpoint]


def _address(filename: str, endpoint: str) -> str:
    owner = current_app.blueprints[endpoint.split(".", maxsplit=1)[0]] if "." in endpoint else current_app
    folder = owner.static_folder
    assert folder is not None
    path = Path(folder) / filename
    try:
        return url_for(endpoint, filename=filename, v=_digest(path, path.stat().st_mtime_ns))
    except FileNotFoundError:
        return url_for(endpoint, filename=filename)


@lru_cache(maxsize=64)
def _packed(content: bytes, how: str) -> bytes:
    """A static file compressed as far as it goes, once per process."""
    packed: bytes = brotli.compress(content, quality=11) if how == "br" else gzip.compress(content, 9, mtime=0)
    return packed


def _pack_asset(response: Response) -> None:
    """Compress a fingerprinted text file here: the extension packs streams anew each time, and has no gzip for them."""
    how = next((name for name in ("br", "gzip") if request.accept_encodings[name] > 0), None)
    if how is None or response.mimetype not in ASSET_TYPES or "Content-Encoding" in response.headers:
        return
    response.direct_passthrough = False
    etag, _weak = response.get_etag()
    response.set_data(_packed(response.get_data(), how))
    response.headers["Content-Encoding"] = how
    response.vary.add("Accept-Encoding")
    response.set_etag(f"{etag}-{how}")


def _unless_small(compress: Callable[..., Any], least: int) -> Callable[[Response], Response]:
    """Spare answers too small to be compressed the question whether they could be."""

    def hook(response: Response) -> Response:
        body = response.response
        if isinstance(body, list) and len(body) == 1 and len(body[0]) < least:
            return response
        return cast(Response, compress(response))

    return hook


def _decorate(response: Response) -> Response:
    """What depends on the view; the headers that do not are added to the finished answer."""
    extra = g.get("csp_extra")
    if extra:
        response.headers.setdefault("Content-Security-Policy", policy(tuple(current_app.config["CSP_FORM_TARGETS"]), extra))
    if (request.endpoint or "").endswith("static"):
        if "v" in request.args and response.status_code == 200:
            response.headers["Cache-Control"] = YEAR
            _pack_asset(response)
    elif response.mimetype == "text/html" and "Cache-Control" not in response.headers:
        response.headers["Cache-Control"] = "no-store"  # money on a shared computer must not come back after signing out
    return response


def _with_headers(answer: WSGIApplication, headers: list[tuple[str, str]]) -> WSGIApplication:
    """Add each header that an answer does not carry itself, whoever made the answer."""
    named = [(name.lower(), (name, value)) for name, value in headers]
    hsts = ("strict-transport-security", ("Strict-Transport-Security", "max-age=31536000; includeSubDomains"))

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, given: list[tuple[str, str]], *rest: Any) -> Any:
            present = {name.lower() for name, _value in given}
            wanted = [*named, hsts] if environ["wsgi.url_scheme"] == "https" else named
            return start_response(status, given + [header for name, header in wanted if name not in present], *rest)

        return answer(environ, start)

    return application


def always(app: Flask) -> list[tuple[str, str]]:
    """The headers of every answer over HTTP."""
    return [*HEADERS.items(), ("Content-Security-Policy", policy(tuple(app.config["CSP_FORM_TARGETS"])))]


def init_app(app: Flask) -> None:
    """Add the headers, compression and the `asset()` helper; `CSP_FORM_TARGETS` lists extra form redirect origins."""
    app.config.setdefault("CSP_FORM_TARGETS", ())
    app.config.setdefault("COMPRESS_MIN_SIZE", 800)
    app.config.setdefault("COMPRESS_ALGORITHM", ["br", "gzip"])
    app.config.setdefault("COMPRESS_BR_LEVEL", 5)
    app.config.setdefault(
        "COMPRESS_MIMETYPES",
        ["text/html", "text/css", "text/javascript", "application/javascript", "application/json", "image/svg+xml", "text/csv"],
    )
    Compress(app)
    hooks = app.after_request_funcs[None]
    hooks[-1] = _unless_small(hooks[-1], app.config["COMPRESS_MIN_SIZE"])
    app.after_request(_decorate)
    app.wsgi_app = _with_headers(app.wsgi_app, always(app))  # type: ignore[assignment, method-assign]
    app.jinja_env.globals["asset"] = asset
