"""What becomes of a member's own files when a new version comes: which need a choice, and what each choice gives. No database.

A file is three texts: what it was based on (the installed version's), mine, and new (the other version's). Nothing is decided for the member where
both sides changed it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from merge3 import Merge3

from marketplace.copy import payload

MINE, NEW, BOTH, MERGED = "mine", "new", "both", "merged"
CHOICES = (MINE, NEW, BOTH, MERGED)
MOST_LINES = 1_000  # more are not laid beside each other: the time that takes grows with the square


@dataclass(frozen=True, slots=True)
class Change:
    """One of a member's own files against another version. `base` and `new` are None where that version has no such file."""

    path: str
    base: bytes | None
    mine: bytes
    new: bytes | None
    merged: bytes | None = None  # both sides' changes together, where they do not touch

    @property
    def options(self) -> tuple[str, ...]:
        """What may be chosen; a single option is no question."""
        if self.mine == self.new:
            return (NEW,)
        if self.new == self.base:  # the publisher left it as it was, or it is the member's alone
            return (MINE,)
        if self.new is None:
            return (NEW, BOTH)
        return (MINE, NEW, BOTH) if self.merged is None else (MERGED, MINE, NEW, BOTH)

    @property
    def needs_choice(self) -> bool:
        """Both sides have changed it."""
        return len(self.options) > 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one file of the copy becomes. `content` None: the publisher's own, whatever it is."""

    kind: str  # a kind of CopyStep: carry | merge | beside | drop
    path: str
    content: bytes | None


class Undecided(ValueError):
    """Files that need a choice were given none, or one that is not open to them; `paths` names them."""

    def __init__(self, paths: Collection[str]) -> None:
        super().__init__(", ".join(paths))
        self.paths = list(paths)


def changes(base: Mapping[str, bytes], mine: Mapping[str, bytes], new: Mapping[str, bytes]) -> list[Change]:
    """A member's own files against another version, by name."""
    return [
        Change(path, base.get(path), content, new.get(path), merged(base.get(path), content, new.get(path), path)) for path, content in sorted(mine.items())
    ]


def merged(base: bytes | None, mine: bytes, new: bytes | None, path: str) -> bytes | None:
    """Both sides' changes in one text; None where they touch, where one is the other, or where it is no text."""
    if base is None or new is None or base in (mine, new) or mine == new:
        return None
    texts = [payload.text_of(side, path) for side in (base, mine, new)]
    sides = [text.splitlines(keepends=True) for text in texts if text is not None]
    if len(sides) < len(texts) or max(map(len, sides)) > MOST_LINES:
        return None
    began, ours, their_own = sides
    groups = list(Merge3(began, ours, their_own).merge_groups())
    if any(group[0] == "conflict" for group in groups):
        return None
    found = "".join(line for group in groups for line in group[1]).encode()
    return None if found in (mine, new) else found


def resolve(found: Collection[Change], choices: Mapping[str, str], version: str, theirs: Collection[str]) -> list[Outcome]:
    """What each file becomes under these choices. `version` is the one the copy was based on, `theirs` the names of the new version's files.

    Every byte of every `mine` is in the outcome or was turned down by name (`new`). Raises Undecided.
    """
    wanted = {one.path: one.options[0] if not one.needs_choice else choices.get(one.path, "") for one in found}
    if open_ones := [one.path for one in found if wanted[one.path] not in one.options]:
        raise Undecided(open_ones)
    if unknown := sorted(set(choices) - set(wanted)):
        raise Undecided(unknown)
    taken = {*theirs, *wanted}
    outcomes = []
    for one in found:
        chosen = wanted[one.path]
        if chosen == MINE:
            outcomes.append(Outcome("carry", one.path, one.mine))
            continue
        outcomes.append(Outcome("merge", one.path, one.merged) if chosen == MERGED else Outcome("drop", one.path, None))
        if chosen == BOTH:
            name = payload.beside(one.path, version, taken)
            taken.add(name)
            outcomes.append(Outcome("beside", name, one.mine))
    return outcomes
