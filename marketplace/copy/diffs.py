"""Two texts side by side, with what differs marked: lines in pairs, words within a pair, and long stretches that are the same folded away."""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from marketplace.copy import payload
from marketplace.copy.merging import MOST_LINES

AROUND = 3  # lines shown before and after a difference
LONGEST_LINE = 400  # a longer one is marked as a whole
LONGEST_SHOWN = 2_000  # characters of a line in a unified diff
MOST_MARKED = 300  # pairs of lines whose words are compared; the others are marked as a whole
_WORDS = re.compile(r"\w+|\s+|.", re.ASCII)

Pieces = list[tuple[str, bool]]  # text, and whether it differs from the other side


@dataclass(frozen=True, slots=True)
class Side:
    """A line on one side. `is_own`: this side changed it against what both began with."""

    number: int
    pieces: Pieces
    is_own: bool


@dataclass(frozen=True, slots=True)
class Row:
    """Two lines beside each other; one is missing where the other side has more. `folded`: so many pairs of the same lines stand here instead."""

    left: Side | None = None
    right: Side | None = None
    folded: int = 0

    @property
    def is_same(self) -> bool:
        """Both sides are alike here."""
        if self.left is None or self.right is None:
            return self.folded > 0
        return not any(marked for _text, marked in (*self.left.pieces, *self.right.pieces))


def rows(mine: bytes, new: bytes, base: bytes | None, name: str) -> list[Row] | None:
    """Mine on the left, new on the right; None for what is no text or too long for it."""
    texts = [payload.text_of(side, name) for side in (mine, new)]
    if texts[0] is None or texts[1] is None:
        return None
    left, right = (text.splitlines() for text in texts if text is not None)
    if max(len(left), len(right)) > MOST_LINES:
        return None
    begun = (payload.text_of(base, name) or "").splitlines() if base is not None else []
    own_left, own_right = _changed(begun, left), _changed(begun, right)
    found: list[Row] = []
    marked = 0
    for tag, i1, i2, j1, j2 in difflib.SequenceMatcher(None, left, right).get_opcodes():
        pairs = max(i2 - i1, j2 - j1)
        for n in range(pairs):
            i, j = (i1 + n if i1 + n < i2 else None), (j1 + n if j1 + n < j2 else None)
            marked += tag == "replace"
            before, after = _pieces(left[i] if i is not None else None, right[j] if j is not None else None, tag == "equal", marked <= MOST_MARKED)
            found.append(
                Row(
                    Side(i + 1, before, i in own_left) if i is not None else None,
                    Side(j + 1, after, j in own_right) if j is not None else None,
                )
            )
    return _folded(found)


def unified(before: bytes, after: bytes, name: str, most: int = 300) -> list[str] | None:
    """The lines of a unified diff without its head; None for what is no text or too long."""
    texts = [payload.text_of(side, name) for side in (before, after)]
    if texts[0] is None or texts[1] is None:
        return None
    left, right = (text.splitlines() for text in texts if text is not None)
    if max(len(left), len(right)) > MOST_LINES:
        return None
    return [line[:LONGEST_SHOWN] for line in list(difflib.unified_diff(left, right, n=2, lineterm=""))[2 : 2 + most]]


def _changed(before: Sequence[str], after: Sequence[str]) -> set[int]:
    """The lines of `after` that `before` does not have."""
    codes = difflib.SequenceMatcher(None, before, after).get_opcodes()
    return {n for tag, _i1, _i2, j1, j2 in codes if tag != "equal" for n in range(j1, j2)}


def _pieces(left: str | None, right: str | None, is_same: bool, by_word: bool) -> tuple[Pieces, Pieces]:
    if is_same:
        return [(left or "", False)], [(right or "", False)]
    if left is None or right is None or not by_word or max(len(left), len(right)) > LONGEST_LINE:
        return ([(left, True)] if left is not None else []), ([(right, True)] if right is not None else [])
    ours, theirs = _WORDS.findall(left), _WORDS.findall(right)
    before: Pieces = []
    after: Pieces = []
    for tag, i1, i2, j1, j2 in difflib.SequenceMatcher(None, ours, theirs).get_opcodes():
        if i2 > i1:
            before.append(("".join(ours[i1:i2]), tag != "equal"))
        if j2 > j1:
            after.append(("".join(theirs[j1:j2]), tag != "equal"))
    return before or [("", True)], after or [("", True)]


def _folded(found: list[Row]) -> list[Row]:
    """Long stretches of the same lines, but for those around a difference, in one row."""
    near = {n + step for n, row in enumerate(found) if not row.is_same for step in range(-AROUND, AROUND + 1)}
    kept: list[Row] = []
    hidden = 0
    for n, row in enumerate(found):
        if n in near:
            if hidden:
                kept.append(Row(folded=hidden))
            hidden = 0
            kept.append(row)
        else:
            hidden += 1
    return [*kept, Row(folded=hidden)] if hidden else kept
