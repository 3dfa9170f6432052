"""Language and time zone of a page: which one, how it is switched, and where the Chinese words come from.

A language is chosen by `?lang=` (and remembered in a cookie), then that cookie, then the user's own setting, then the
browser. Every `*.po` file under `translations/zh/LC_MESSAGES` is merged into one `messages.mo` when the application
starts, so that each feature may keep a catalogue of its own.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from urllib.parse import urlencode

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from flask import Flask, Response, current_app, has_request_context, request
from flask_babel import Babel, get_locale

LANGUAGES = {"zh": "中文", "en": "English"}
TAGS = {"zh": "zh-CN", "en": "en"}
COOKIE = "lang"
YEAR_S = 365 * 24 * 3600


def compile_catalogues(root: Path) -> list[Path]:
    """Merge each language's `*.po` into `messages.mo` where that is missing or older; returns what was written.

    `messages.po` comes first, so the shared words win over a feature's. The file is replaced atomically: several
    processes may start at once.
    """
    written: list[Path] = []
    for folder in sorted(root.glob("*/LC_MESSAGES")):
        sources = sorted(folder.glob("*.po"), key=lambda path: (path.name != "messages.po", path.name))
        target = folder / "messages.mo"
        if not sources or (target.exists() and target.stat().st_mtime >= max(s.stat().st_mtime for s in sources)):
            continue
        merged = Catalog(locale=folder.parent.name, fuzzy=False)
        for source in sources:
            with source.open("rb") as stream:
                for message in read_po(stream, locale=folder.parent.name):
                    known = merged.get(message.id, message.context) if message.id else None
                    if message.id and message.string and not message.fuzzy and not (known and known.string):
                        merged.add(message.id, message.string, context=message.context)
        descriptor, name = tempfile.mkstemp(dir=folder, suffix=".tmp")
        with os.fdopen(descriptor, "wb") as stream:
            write_mo(stream, merged)
        os.chmod(name, 0o644)
        os.replace(name, target)
        written.append(target)
    return written


def _user_locale() -> str | None:
    from core.actor import actor

    return getattr(actor(), "locale", None)


def choose_language() -> str:
    """The language of this request: `zh` or `en`."""
    default = str(current_app.config["BABEL_DEFAULT_LOCALE"])
    if not has_request_context():
        return default
    for wish in (request.args.get("lang"), request.cookies.get(COOKIE), _user_locale()):
        if wish and wish[:2].lower() in LANGUAGES:
            return wish[:2].lower()
    return request.accept_languages.best_match(list(LANGUAGES)) or _closest_accepted() or default


def _closest_accepted() -> str | None:
    """`zh-TW` and `en-GB` are served with `zh` and `en`."""
    for tag, _quality in request.accept_languages:
        if tag[:2].lower() in LANGUAGES:
            return tag[:2].lower()
    return None


def choose_timezone() -> str:
    """The name of the time zone in which instants are shown."""
    return str(current_app.config["BABEL_DEFAULT_TIMEZONE"])


def language_links() -> list[dict[str, str | bool]]:
    """The switch in the header: this page in each language (or the home page, where it cannot be fetched again)."""
    current = str(get_locale() or "en")[:2]
    rule = request.url_rule
    again = request.method in {"GET", "HEAD"} or (rule is not None and "GET" in (rule.methods or set()))
    path = request.path if again else "/"
    kept = [(k, v) for k, v in request.args.items(multi=True) if k != "lang"] if request.method == "GET" else []
    return [
        {
            "code": code,
            "tag": TAGS[code],
            "label": label,
            "current": code == current,
            "href": f"{path}?{urlencode([*kept, ('lang', code)])}",
        }
        for code, label in LANGUAGES.items()
    ]


def _remember(response: Response) -> Response:
    wish = request.args.get("lang", "") if request.query_string else ""
    if wish in LANGUAGES:
        secure = bool(current_app.config.get("SESSION_COOKIE_SECURE"))
        response.set_cookie(COOKIE, wish, max_age=YEAR_S, samesite="Lax", httponly=True, secure=secure)
    if response.mimetype == "text/html":
        response.vary.update(("Accept-Language", "Cookie"))
    return response


def init_app(app: Flask) -> None:
    """Compile the catalogues, start Flask-Babel, and give templates `lang_tag` and `language_links`."""
    root = Path(app.root_path) / "translations"
    app.config.setdefault("BABEL_DEFAULT_LOCALE", "zh")
    app.config.setdefault("BABEL_DEFAULT_TIMEZONE", "Asia/Shanghai")
    app.config.setdefault("BABEL_TRANSLATION_DIRECTORIES", str(root))
    try:
        for directory in str(app.config["BABEL_TRANSLATION_DIRECTORIES"]).split(";"):
            compile_catalogues(Path(directory))
    except OSError as error:  # a read-only image ships compiled catalogues
        app.logger.warning("translations were not compiled: %s", error)
    Babel(app, locale_selector=choose_language, timezone_selector=choose_timezone)
    app.after_request(_remember)

    @app.context_processor
    def _context() -> dict[str, object]:
        code = str(get_locale() or "en")[:2]
        return {"lang": code, "lang_tag": TAGS.get(code, "en"), "language_links": language_links}
