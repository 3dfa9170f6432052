"""Declared host versions are compared as versions: 1.10 is newer than 1.9."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from membership import hosts

NUMBERS = st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))


@pytest.mark.parametrize(
    ("specifier", "fitting", "too_old", "too_new"),
    [
        (">=1.0,<2.0", ["1.0", "1", "1.10", "1.9.9"], ["0.9"], ["2", "2.0", "10.0"]),
        (">=3.2,<4", ["3.2", "3.10"], ["3.1.9", "2"], ["4"]),
        ("~=1.4", ["1.4", "1.9"], ["1.3"], ["2.0"]),
        ("==1.*,>=1.2", ["1.2", "1.3"], ["1.1"], ["2.0"]),
        ("<2.0", ["1.9"], [], ["2.0"]),
        (">=1.2", ["99"], ["1.1"], []),
    ],
)
def test_versions_are_compared_as_versions(specifier: str, fitting: list[str], too_old: list[str], too_new: list[str]) -> None:
    assert hosts.is_specifier(specifier)
    assert [hosts.fits(version, specifier) for version in fitting] == [True] * len(fitting)
    for version in too_old:
        assert (hosts.fits(version, specifier), hosts.is_older(version, specifier)) == (False, True)
    for version in too_new:
        assert (hosts.fits(version, specifier), hosts.is_older(version, specifier)) == (False, False)


@pytest.mark.parametrize("text", ["", "1.0", ">=2.0,<1.0", ">1,<1", "any", "===1.0", ">=1.0 or <0.5", ">=", "x" * 101])
def test_what_names_no_version_is_no_specifier(text: str) -> None:
    assert not hosts.is_specifier(text)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(NUMBERS, NUMBERS)
def test_older_and_newer_are_those_of_numbers(one: tuple[int, int, int], other: tuple[int, int, int]) -> None:
    a, b = (".".join(map(str, parts)) for parts in (one, other))
    assert hosts.fits(a, f">={b}") == (one >= other)
    assert hosts.fits(a, f"<{b}") == (one < other)
    if one < other:
        assert hosts.is_older(a, f">={b}")
