"""What becomes of a member's own files at an update: made-up files on three sides, every choice, and nothing lost."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marketplace.copy import merging, payload
from marketplace.copy.merging import BOTH, MERGED, MINE, NEW

QUICK = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
PATHS = ["mail.txt.j2", "task.robot", "data/rules.json", "table.xlsx", "mail.mine-1.0.0.txt.j2"]
LINES = st.lists(st.sampled_from(["a\n", "b\n", "c\n", "甲\n", "{{ x }}\n", "\r\n", "d"]), max_size=8).map("".join).map(str.encode)
FILES = st.dictionaries(st.sampled_from(PATHS), LINES | st.binary(max_size=8))


def outcome_files(outcomes, new):
    """The copy after an update, file by file."""
    found = dict(new)
    for one in outcomes:
        if one.content is not None:
            found[one.path] = one.content
    return found


@QUICK
@given(base=FILES, mine=FILES, new=FILES, picked=st.lists(st.integers(0, 3), min_size=8, max_size=8))
def test_what_a_member_wrote_is_kept_or_was_turned_down_by_name(base, mine, new, picked):
    changes = merging.changes(base, mine, new)
    choices = {one.path: one.options[n % len(one.options)] for n, one in zip(picked, changes, strict=False) if one.needs_choice}
    outcomes = merging.resolve(changes, choices, "1.0.0", new)
    after = outcome_files(outcomes, new)
    for one in changes:
        chosen = choices.get(one.path, one.options[0])
        if chosen in (MINE, BOTH):
            assert one.mine in after.values(), one.path
        if chosen == MINE:
            assert after[one.path] == one.mine
        if chosen in (NEW, BOTH):
            assert after.get(one.path) == one.new
        if chosen == MERGED:
            assert after[one.path] == one.merged
        if not one.needs_choice:  # decided without asking: only where nothing of either side goes missing
            assert one.mine in after.values()
            assert one.new in (one.base, one.mine)
    assert set(new) <= set(after), "no file of the publisher's disappears"
    folded = [path.casefold() for path in after]
    assert len(set(folded)) == len(folded)


@QUICK
@given(base=FILES, new=FILES)
def test_an_untouched_copy_becomes_the_new_version_and_nothing_else(base, new):
    assert merging.changes(base, {}, new) == []
    assert outcome_files(merging.resolve([], {}, "1.0.0", new), new) == new


@QUICK
@given(base=FILES, mine=FILES, new=FILES)
def test_what_both_sides_changed_is_never_decided_for_the_member(base, mine, new):
    changes = merging.changes(base, mine, new)
    asked = [one.path for one in changes if one.needs_choice]
    for one in changes:
        touched = one.mine != one.new and one.new != one.base
        assert one.needs_choice == touched
    if asked:
        with pytest.raises(merging.Undecided) as raised:
            merging.resolve(changes, {}, "1.0.0", new)
        assert raised.value.paths == asked


STEPS = st.lists(st.tuples(st.sampled_from("=+-~"), st.integers(0, 3)), max_size=12)  # what becomes of each line


@QUICK
@given(STEPS, STEPS)
def test_a_merge_holds_the_changes_of_both_sides(ours, theirs):
    base = [f"line {n}\n" for n in range(12)]

    def edited(steps, word):
        """The base with some lines changed, taken out, or followed by new ones."""
        found, added = [], set()
        for line, (what, n) in zip(base, [*steps, *[("=", 0)] * 12], strict=False):
            new = f"{word} {n} at {line}"
            found += [] if what == "-" else [new] if what == "~" else [line, new] if what == "+" else [line]
            added |= {new} if what in "~+" else set()
        return "".join(found).encode(), added

    (mine, mine_added), (new, new_added) = edited(ours, "mine"), edited(theirs, "new")
    found = merging.merged("".join(base).encode(), mine, new, "mail.txt.j2")
    if found is None:
        return
    lines = set(found.decode().splitlines(keepends=True))
    assert mine_added | new_added <= lines
    kept_by_both = set(mine.decode().splitlines(keepends=True)) & set(new.decode().splitlines(keepends=True))
    assert lines & set(base) == kept_by_both & set(base)


def test_changes_apart_are_joined_and_changes_of_one_line_are_not():
    base = b"one\ntwo\nthree\nfour\nfive\n"
    assert merging.merged(base, b"ONE\ntwo\nthree\nfour\nfive\n", b"one\ntwo\nthree\nfour\nFIVE\n", "a.txt") == b"ONE\ntwo\nthree\nfour\nFIVE\n"
    assert merging.merged(base, b"ONE\ntwo\nthree\nfour\nfive\n", b"1\ntwo\nthree\nfour\nfive\n", "a.txt") is None
    assert merging.merged(base, b"ONE\n", b"FIVE\n", "a.docx") is None
    assert merging.merged(None, b"ONE\n", b"FIVE\n", "a.txt") is None


def test_a_removed_file_is_kept_beside_or_goes():
    (change,) = merging.changes({"task.robot": b"1"}, {"task.robot": b"mine"}, {"other.robot": b"2"})
    assert change.options == (NEW, BOTH)
    dropped, beside = merging.resolve([change], {"task.robot": BOTH}, "1.0.0", ["other.robot"])
    assert (dropped.kind, dropped.content) == ("drop", None)
    assert (beside.kind, beside.path, beside.content) == ("beside", "task.mine-1.0.0.robot", b"mine")
    with pytest.raises(merging.Undecided):
        merging.resolve([change], {"task.robot": MINE}, "1.0.0", ["other.robot"])
    with pytest.raises(merging.Undecided):
        merging.resolve([change], {"task.robot": NEW, "elsewhere": NEW}, "1.0.0", ["other.robot"])


def test_names_beside_are_free_and_say_whose_they_are():
    assert payload.beside("mail.txt.j2", "1.0.0", []) == "mail.mine-1.0.0.txt.j2"
    assert payload.beside("a/b.robot", "1.0.0", ["a/B.mine-1.0.0.robot"]) == "a/b.mine-1.0.0-2.robot"
    assert payload.beside("mail.mine-1.0.0.txt.j2", "1.1.0", []) == "mail.mine-1.1.0.txt.j2"


@QUICK
@given(st.text(alphabet="ab甲\n", max_size=30), st.booleans())
def test_text_from_a_browser_keeps_the_line_ends_of_its_file(text, windows):
    before = text.replace("\n", "\r\n").encode() if windows else text.encode()
    assert payload.from_browser(text.replace("\n", "\r\n"), before) == before
