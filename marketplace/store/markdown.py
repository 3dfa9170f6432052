"""A bundle's README as HTML: headings, paragraphs, lists, code. Everything else, markup above all, stays the text it is."""

import re

from flask_babel import gettext as _
from markupsafe import Markup, escape

_CODE = re.compile(r"`([^`]+)`")
_BOLD = re.compile(r"\*\*([^*]+)\*\*")
_ITEM = re.compile(r"\s*(?:[-*]|(\d+)\.)\s+(.*)")


def _inline(text: str) -> str:
    return _BOLD.sub(r"<strong>\1</strong>", _CODE.sub(r"<code>\1</code>", str(escape(text))))


def render(text: str) -> Markup:
    """The text as safe HTML; its headings begin below the page's own."""
    blocks: list[str] = []
    kind = ""
    lines: list[str] = []

    def close() -> None:
        nonlocal kind, lines
        if kind == "p":
            blocks.append(f"<p>{_inline(' '.join(lines))}</p>")
        elif kind in ("ul", "ol"):
            blocks.append(f"<{kind}>" + "".join(f"<li>{_inline(line)}</li>" for line in lines) + f"</{kind}>")
        elif kind == "pre":
            blocks.append('<pre tabindex="0" role="region" aria-label="' + str(escape(_("Code"))) + '">' + str(escape("\n".join(lines))) + "</pre>")
        kind, lines = "", []

    for line in text.splitlines():
        item = _ITEM.fullmatch(line)
        if line.startswith("```"):
            was = kind
            close()
            kind = "" if was == "pre" else "pre"
        elif kind == "pre":
            lines.append(line)
        elif line.startswith("#"):
            close()
            blocks.append(f"<h3>{_inline(line.lstrip('# '))}</h3>")
        elif item:
            wanted = "ol" if item.group(1) else "ul"
            if kind != wanted:
                close()
            kind = wanted
            lines.append(item.group(2))
        elif not line.strip():
            close()
        elif kind in ("ul", "ol"):
            lines[-1] += " " + line.strip()
        else:
            kind = "p"
            lines.append(line.strip())
    close()
    return Markup("".join(blocks))  # noqa: S704 (every part went through escape)
