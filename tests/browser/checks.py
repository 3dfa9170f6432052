"""What every page must hold in a real browser; page tests call `check_page` for each language, theme and width.

with browser() as chromium:
    for view in VIEWS:
        assert check_page(chromium, f"{base}/wallet", view) == []
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from axe_playwright_python.base import AXE_SCRIPT
from flask import Flask
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from werkzeug.serving import make_server

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
SHOTS = Path(os.environ["SHOTS"]) if os.environ.get("SHOTS") else None  # a folder for pictures, for people; they take a quarter of the time
ARGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
AXE_ALL = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
AXE_COLOURS = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}
AXE_RUN = """
only => axe.run(document, {runOnly: only, resultTypes: ["violations"], preload: {assets: ["media"]}})
  .then(found => found.violations.map(rule => [rule.id, rule.nodes.map(node => [node.target, node.failureSummary || ""])]))
"""  # without preloading style sheets, which only an experimental rule asks for
WEIGHT_LIMIT, HTML_LIMIT, REQUEST_LIMIT, SHIFT_LIMIT = 100_000, 40_000, 8, 0.02

COLLECT = """
window.__violations = [];
document.addEventListener("securitypolicyviolation", e => window.__violations.push(e.violatedDirective + " " + e.blockedURI + " " + e.sourceFile));
window.__shift = 0;
new PerformanceObserver(list => { for (const e of list.getEntries()) if (!e.hadRecentInput) window.__shift += e.value; })
  .observe({type: "layout-shift", buffered: true});
"""
SMALL_TARGETS = """
() => [...document.querySelectorAll("a[href], button, input, select, textarea, summary")].filter(e => {
  const r = e.getBoundingClientRect(), s = getComputedStyle(e);
  if (!r.width || !r.height || s.visibility === "hidden" || e.closest(".skip-link") || e.matches(":disabled")) return false;
  if (!e.checkVisibility({contentVisibilityAuto: true})) return false;
  const box = e.closest("label")?.getBoundingClientRect() ?? r;
  const inSentence = s.display === "inline" && e.closest("p, li, dd, dt, td, caption, label, .note");
  return !inSentence && (Math.max(r.height, box.height) < 23.9 || Math.max(r.width, box.width) < 23.9);
}).map(e => e.outerHTML.slice(0, 120))
"""
UNNAMED_SCROLLERS = """
() => [...document.querySelectorAll("body *")].filter(e => {
  const s = getComputedStyle(e);
  return /(auto|scroll)/.test(s.overflowX + s.overflowY) && (e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 1)
    && !e.matches("textarea, select, dialog") && !(e.tabIndex >= 0 && (e.getAttribute("aria-label") || e.getAttribute("aria-labelledby")));
}).map(e => e.outerHTML.slice(0, 120))
"""
WIDE = """
() => [...document.querySelectorAll("body *")].filter(e => {
  const r = e.getBoundingClientRect();
  if (r.right <= innerWidth + 1 || !r.width) return false;
  for (let p = e.parentElement; p; p = p.parentElement) if (getComputedStyle(p).overflowX !== "visible") return false;
  return true;
}).slice(0, 3).map(e => e.outerHTML.slice(0, 120))
"""
STRUCTURE = """
() => ({
  headings: document.querySelectorAll("h1").length,
  filled: [...document.querySelectorAll(".btn-primary")].filter(e => {
    const r = e.getBoundingClientRect();
    return r.width && r.height && e.checkVisibility({visibilityProperty: true});
  }).length,
  lang: document.documentElement.lang,
  first: document.querySelector("a[href], button, input, summary")?.className ?? null,
  charts: [...document.querySelectorAll("figure.chart")].filter(f =>
    !f.querySelector("[role=img][aria-label]")?.getAttribute("aria-label").trim() || !f.querySelector("table tbody tr")
  ).map(f => f.id || f.outerHTML.slice(0, 80)),
})
"""
WEIGHT = """
() => [[...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")].map(e => e.encodedBodySize), window.__shift]
"""


@dataclass(frozen=True)
class View:
    """One way to look at a page."""

    lang: str = "zh"
    scheme: Literal["light", "dark"] = "light"
    width: int = 1280

    @property
    def name(self) -> str:
        return f"{self.lang}-{self.scheme}-{self.width}"


SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
VIEWS = [View(lang, scheme, width) for lang in ("zh", "en") for scheme in SCHEMES for width in (360, 1280)]


@dataclass
class Tab:
    """A browser tab, and what the page in it did while it loaded."""

    page: Page
    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    html: str = ""

    def __post_init__(self) -> None:
        self.page.on("console", lambda message: self.console.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.console.append(f"error: {error}"))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def open(self, url: str) -> None:
        """Load a page and note its console messages and requests."""
        self.console.clear()
        self.requests.clear()
        answer = self.page.goto(url, wait_until="load")
        self.html = answer.text() if answer else ""


class LastTab:
    """The tab that was used last. Another person signs in there; only another view opens one anew, which costs as much as some pages.

    There is never a second one: a tab that waits in the background takes the processor.
    """

    def __init__(self, chromium: Browser) -> None:
        self.chromium = chromium
        self._view: View | None = None
        self._cookies: list[Any] = []
        self._tab: Tab | None = None

    def of(self, view: View, cookies: list[Any]) -> Tab:
        """A tab of this view, in which the person of these cookies is signed in."""
        if self._tab is None or self._view != view:
            self.close()
            self._view, self._cookies, self._tab = view, [], Tab(new_context(self.chromium, view).new_page())
        if cookies != self._cookies:
            context = self._tab.page.context
            context.clear_cookies()
            context.add_cookies(cookies)
            self._cookies = cookies
        return self._tab

    def close(self) -> None:
        """Close it, if one is open."""
        if self._tab is not None:
            self._tab.page.context.close()
            self._tab = None


@contextmanager
def serve(app: Flask) -> Iterator[str]:
    """The application on a free local port; yields its base address."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()


@contextmanager
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        try:
            yield chromium
        finally:
            chromium.close()


def new_context(chromium: Browser, view: View, cookies: list[Any] | None = None, **options: Any) -> BrowserContext:
    """A browser context for a view, with the listeners that the checks read."""
    context = chromium.new_context(
        viewport={"width": view.width, "height": 900}, color_scheme=view.scheme, locale="zh-CN" if view.lang == "zh" else "en-GB", **options
    )
    if options.get("java_script_enabled", True):
        context.add_init_script(COLLECT)
        context.add_init_script(AXE_SCRIPT)  # sent once, not again for each page
    if cookies:
        context.add_cookies(cookies)
    return context


def open_page(context: BrowserContext, url: str) -> tuple[Page, Tab]:
    """Load a page in a new tab."""
    tab = Tab(context.new_page())
    tab.open(url)
    return tab.page, tab


def axe_violations(page: Page, only: dict[str, Any] = AXE_ALL) -> list[str]:
    """Rule and place of every axe violation of WCAG 2.0–2.2 A/AA and best practice, or of some rules."""
    found = page.evaluate(AXE_RUN, only)
    return [f"axe {rule}: {target} {why[:160]}" for rule, nodes in found for target, why in nodes]


def inline_code(html: str) -> list[str]:
    """Styles, scripts and handlers inside the HTML, which the policy would drop silently."""
    patterns = {
        "style attribute": r"<[^>]+\sstyle\s*=",
        "style element": r"<style[\s>]",
        "inline script": r"<script(?![^>]*\ssrc=)[^>]*>",
        "handler": r"<[^>]+\son[a-z]+\s*=",
        "javascript link": r"href\s*=\s*[\"']javascript:",
    }
    return [f"{name}: {match.group(0)[:80]}" for name, pattern in patterns.items() for match in re.finditer(pattern, html, re.I)]


def structure_faults(page: Page, lang: str) -> list[str]:
    """Headings, the filled button, language, skip link, and labels of charts."""
    faults, seen = [], page.evaluate(STRUCTURE)
    if seen["headings"] != 1:
        faults.append(f"{seen['headings']} h1 elements")
    if seen["filled"] > 1:
        faults.append(f"{seen['filled']} filled buttons")
    if not seen["lang"].startswith(lang):
        faults.append(f"lang is {seen['lang']}, not {lang}")
    if seen["first"] != "skip-link":
        faults.append(f"the first control is {seen['first']!r}, not the skip link")
    return faults + [f"chart without label or data table: {chart}" for chart in seen["charts"]]


def overflow_faults(page: Page, widths: tuple[int, ...] = (360, 320)) -> list[str]:
    """Elements wider than the window, and scrollers that have no name or cannot be focused."""
    before, faults = page.viewport_size, []
    for width in widths:
        page.set_viewport_size({"width": width, "height": 800})
        wide, window = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        if wide > window:
            faults.append(f"{wide}px wide at {width}px: {page.evaluate(WIDE)}")
        faults += [f"unnamed scroller at {width}px: {place}" for place in page.evaluate(UNNAMED_SCROLLERS)]
    if before:
        page.set_viewport_size(before)
    return faults


def outside_requests(tab: Tab, base: str) -> list[str]:
    """Requests to another host."""
    host = urlsplit(base).netloc
    return [url for url in tab.requests if urlsplit(url).scheme in {"http", "https", "ws", "wss"} and urlsplit(url).netloc != host]


def weight_faults(page: Page, url: str, html: str) -> list[str]:
    """Bytes, requests and layout shift of the page as loaded."""
    sizes, shift = page.evaluate(WEIGHT)
    faults = []
    if sum(sizes) > WEIGHT_LIMIT:
        faults.append(f"{sum(sizes)} bytes compressed")
    if len(sizes) > REQUEST_LIMIT:
        faults.append(f"{len(sizes)} requests")
    if len(html.encode()) > HTML_LIMIT:
        faults.append(f"{len(html.encode())} bytes of HTML at {url}")
    if shift >= SHIFT_LIMIT:  # on a busy machine a page may arrive in two parts and be painted twice; a shift of its own comes again
        page.reload(wait_until="load")
        shift = min(shift, page.evaluate("window.__shift"))
    if shift >= SHIFT_LIMIT:
        faults.append(f"layout shift {shift:.3f}")
    return faults


def shoot(page: Page, name: str) -> None:
    """Keep a picture of the whole page, where pictures are asked for."""
    if SHOTS:
        page.screenshot(path=SHOTS / f"{name}.png", full_page=True)


def check_page(chromium: Browser, url: str, view: View, cookies: list[Any] | None = None, **options: Any) -> list[str]:
    """Every fault of a page in one view, in a browser of its own; an empty list is a pass. Options as of `check_tab`."""
    context = new_context(chromium, view, cookies)
    try:
        return check_tab(Tab(context.new_page()), url, view, **options)
    finally:
        context.close()


def check_tab(
    tab: Tab,
    url: str,
    view: View,
    *,
    shots: str = "",
    weigh: bool = True,
    expected_console: str | None = None,
    also: Callable[[Page, View], list[str]] | None = None,
    recolour: bool = False,
) -> list[str]:
    """Every fault of a page in one view, loaded in a tab of that view; an empty list is a pass.

    `expected_console` is a pattern to ignore (a 404's own message), `also` looks for further faults, `shots` is a folder of the pictures.
    `recolour`: the loaded page is then looked at in the other colour scheme too, where only colours can differ.
    """
    page = tab.page
    tab.open(f"{url}{'&' if '?' in url else '?'}lang={view.lang}")
    faults = [f"inline {fault}" for fault in inline_code(tab.html)]
    faults += structure_faults(page, view.lang)
    faults += [f"small target: {place}" for place in page.evaluate(SMALL_TARGETS)]
    if weigh:
        faults += weight_faults(page, url, tab.html)
    faults += [f"policy: {text}" for text in page.evaluate("window.__violations")]
    faults += axe_violations(page)
    if view.width < 600:
        faults += overflow_faults(page)
    faults += [f"console: {text}" for text in tab.console if not (expected_console and re.search(expected_console, text))]
    faults += [f"outside: {text}" for text in outside_requests(tab, url)]
    faults += also(page, view) if also else []
    name = f"{shots}/{urlsplit(url).path.strip('/').replace('/', '-') or 'home'}"
    shoot(page, f"{name}-{view.name}")
    if recolour:
        other = replace(view, scheme="dark" if view.scheme == "light" else "light")
        page.emulate_media(color_scheme=other.scheme)
        faults += [f"{other.name}: {fault}" for fault in axe_violations(page, AXE_COLOURS)]
        shoot(page, f"{name}-{other.name}")
        page.emulate_media(color_scheme=view.scheme)
    return faults
