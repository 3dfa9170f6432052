"""The running product with its demo world, as `make run` starts it, and the people in it; shared by all browser tests of a run."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
from playwright.sync_api import Browser, BrowserContext, Page, expect

from core.embedded.postgres import Postgres, home_for
from tests.browser import checks
from tests.core.test_supervisor import ROOT, Run


class World:
    """A running product with its demo world."""

    def __init__(self, run: Run, var: Path, port: int) -> None:
        self.run, self.var, self.base = run, var, f"http://127.0.0.1:{port}"
        self.logins = {m[1]: (m[2], m[3]) for m in re.finditer(r"^login (\S+) (\S+) (\S+)$", run.text, re.M)}
        self._cookies: dict[str, list[Any]] = {}

    @property
    def database_url(self) -> str:
        """The database as its owner."""
        return self._postgres.url("backoffice")

    @property
    def _postgres(self) -> Postgres:
        return Postgres(home_for(self.var), self.var / "log" / "unused.log")

    def flask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "core.supervisor", "exec", sys.executable, "-m", "flask", "--app", "app", *arguments]
        environment = os.environ | {"BACKOFFICE_VAR": str(self.var), "PORT": self.base.rsplit(":", 1)[1]}
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)

    def sql(self, statement: str) -> list[tuple[object, ...]]:
        """Run SQL as the owner, to look behind the pages or to bring a date near."""
        with psycopg.connect(host=str(self._postgres.sockets), user="postgres", dbname="backoffice", autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def one(self, statement: str) -> Any:
        """The first value of the first row."""
        rows = self.sql(statement)
        assert rows, f"no row for: {statement}"
        return rows[0][0]

    def cookies(self, chromium: Browser, role: str) -> list[Any]:
        """The cookies of a signed-in person of a role; signs in once. `-` is nobody."""
        if role == "-":
            return []
        if role not in self._cookies:
            context = chromium.new_context(locale="en-GB")
            sign_in(context.new_page(), self, role)
            self._cookies[role] = [cookie for cookie in context.cookies() if cookie["name"] != "lang"]
            context.close()
        return self._cookies[role]

    def visit(self, chromium: Browser, role: str, view: checks.View | None = None, **options: Any) -> BrowserContext:
        """A browser context of a signed-in person, in a language, theme and width."""
        return checks.new_context(chromium, view or checks.View("en"), self.cookies(chromium, role), base_url=self.base, **options)


def sign_in(page: Page, world: World, role: str) -> None:
    """Sign in through the form."""
    email, password = world.logins[role]
    page.goto(world.base + "/sign-in?lang=en")
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Sign in").click()
    expect(page).not_to_have_url(re.compile("sign-in"))


class Person:
    """A signed-in person with a browser of its own."""

    def __init__(self, world: World, chromium: Browser, role: str) -> None:
        self.world, self.role = world, role
        self.page: Page = chromium.new_context(locale="en-GB", viewport={"width": 1280, "height": 900}, accept_downloads=True).new_page()
        self.faults: list[str] = []
        self.page.on("console", lambda message: self.faults.append(message.text) if message.type in ("error", "warning") else None)
        sign_in(self.page, world, role)

    def go(self, path: str) -> None:
        answer = self.page.goto(self.world.base + path)
        assert answer is not None
        assert answer.status == 200, f"{path}: {answer.status}"

    def shot(self, name: str) -> None:
        checks.shoot(self.page, f"loop-{name}")

    def available(self) -> int:
        """What the wallet page says can be spent, in minor units."""
        self.go("/wallet")
        return minor(self.page.locator(".figure", has_text="Available").first.inner_text())


def minor(text: str) -> int:
    """The first amount in a text, in minor units."""
    found = re.search(r"¥([\d,]+\.\d\d)", text)
    assert found, text
    return int(found[1].replace(",", "").replace(".", ""))
