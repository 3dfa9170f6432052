"""Side by side: each line of both sides is shown once, or counted in a fold."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marketplace.copy import diffs

QUICK = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
LINES = st.lists(st.sampled_from(["a", "b", "a b", "", "您好，{{ x }}！", "您好 {{ y }}"]), max_size=40)
TEXTS = LINES.map(lambda lines: "".join(f"{line}\n" for line in lines))


@QUICK
@given(mine=TEXTS, new=TEXTS, base=TEXTS)
def test_every_line_is_there_in_order_and_whole(mine, new, base):
    rows = diffs.rows(mine.encode(), new.encode(), base.encode(), "mail.txt")
    for side, text in (("left", mine), ("right", new)):
        lines, at = text.splitlines(), 0
        for row in rows:
            shown = getattr(row, side)
            if row.folded:
                at += row.folded
            elif shown is not None:
                assert shown.number == at + 1
                assert "".join(piece for piece, _marked in shown.pieces) == lines[at]
                at += 1
        assert at == len(lines)
    differs = [row for row in rows if not row.is_same]
    assert bool(differs) == (mine != new)


def test_what_differs_is_marked_to_the_word_and_says_who_changed_it():
    base, mine, new = b"Dear Sir,\nplease pay.\nBye\n", b"Dear Sir,\nplease pay soon.\nBye\n", b"Dear Madam,\nplease pay.\nBye\n"
    first, second, third = diffs.rows(mine, new, base, "mail.txt")
    assert [(text, marked) for text, marked in first.left.pieces if marked] == [("Sir", True)]
    assert (first.left.is_own, first.right.is_own) == (False, True)
    assert (second.left.is_own, second.right.is_own) == (True, False)
    assert third.is_same
    assert not second.is_same


def test_long_stretches_are_folded_and_binaries_are_not_shown():
    same = [f"line {n}\n" for n in range(50)]
    changed = [*same[:25], "other\n", *same[26:]]
    rows = diffs.rows("".join(same).encode(), "".join(changed).encode(), None, "a.txt")
    assert [row.folded for row in rows if row.folded] == [22, 21]
    assert diffs.rows(b"PK\x03\x04", b"PK\x03\x04\x00", None, "a.docx") is None
    assert diffs.rows(b"\xff\xfe", b"a", None, "a.txt") is None
    assert diffs.rows(b"a\n" * 2_000, b"b\n", None, "a.txt") is None
    assert diffs.unified(b"a\nb\n", b"a\nc\n", "a.txt") == ["@@ -1,2 +1,2 @@", " a", "-b", "+c"]
