"""What a process remembers for a few seconds, made to last: on a slow machine too, nothing is looked up again during a test."""

import pytest
from flask import Flask

from core import clock
from membership import api_keys, hosts, taxes

LONG_S = 600.0


def remember_for_long(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin with nothing known of keys, releases and the clock, and believe for the whole test what is then looked up, tax rates too."""
    for memory in (api_keys._memory, hosts._memory, taxes._memory):
        monkeypatch.setattr(memory, "lasts_s", LONG_S)
    monkeypatch.setattr(clock, "CACHE_S", LONG_S)
    monkeypatch.setitem(app.extensions, "movable_clock", clock.MovableClock())
    hosts.forget_all()
    api_keys.forget_all()
