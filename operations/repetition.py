"""Routines: step sequences that a member's people repeat, what they cost, and the listing that does them.

Within a person's session (a pause of 30 minutes ends it) every run of 3 to 6 consecutive steps is counted; a sequence counts
when it comes clearly more often than its steps' own frequencies explain. From the strongest on, sequences that are mostly
part of one already kept are dropped. Gaps and detours inside a routine split it: what is found is a lower bound.
"""

import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median

from sqlalchemy import delete, insert, select, text

from core.db import db
from core.ids import derived
from marketplace.store.listing_models import Listing
from operations.models import Routine

WINDOW = timedelta(days=60)
PAUSE_S = 30 * 60
SHORTEST, LONGEST = 3, 6
LEAST_RUNS = 5
LEAST_LIFT = 4  # times as often as its steps' own frequencies explain
WEAK = 10  # what comes less than a tenth as often as the most frequent one is an echo of it
LEAST_OVERLAP = 0.5  # share of a listing's steps that a routine must have, or the other way round
MONTH_DAYS = 30

Step = tuple[str, str]  # feature, action
Seen = tuple[str, float, str, str, int]  # user, epoch seconds, feature, action, duration_ms

_EVENTS = text("""
select user_ref, cast(extract(epoch from at) as float8), feature, action, duration_ms from event
where member_id = :member and at > :since and at <= :until and not is_automated order by user_ref, at, id
""")


@dataclass(frozen=True, slots=True)
class Found:
    """A routine in the window: `runs` by `users` people, and the minutes a month it takes them."""

    steps: tuple[Step, ...]
    runs: int
    users: int
    per_week: float
    minutes_a_month: int


@dataclass(frozen=True, slots=True)
class Toil:
    """A routine and the listing that automates most of it, with the minutes a month that would save."""

    found: Found
    listing: Listing | None
    minutes_saved_a_month: int


def of_member(member_id: uuid.UUID, *, at: datetime, limit: int = 5) -> list[Found]:
    """The strongest routines of one member in the 60 days before `at`: one query, some 10 µs an event."""
    seen: list[Seen] = [tuple(row) for row in db.session.execute(_EVENTS, {"member": member_id, "since": at - WINDOW, "until": at})]
    return find(seen, at=at, limit=limit)


def find(seen: Sequence[Seen], *, at: datetime, limit: int = 5) -> list[Found]:
    """Routines among events ordered by user and time."""
    if not seen:
        return []
    codes: dict[Step, int] = {}
    sessions = list(_sessions(seen, codes))
    runs = _count(sessions)
    total = len(seen)
    share = {code: n / total for code, n in Counter(code for _user, steps, _times in sessions for code in steps).items()}
    strong = [gram for gram, n in runs.items() if n >= LEAST_RUNS and len(set(gram)) >= SHORTEST and n >= LEAST_LIFT * _expected(gram, share, total)]
    most = max((runs[gram] for gram in strong), default=0)
    strong = [gram for gram in strong if runs[gram] * WEAK >= most]
    strong.sort(key=lambda gram: (-runs[gram] * (len(gram) - 1), -len(gram), gram))
    kept: list[tuple[int, ...]] = []
    for gram in strong:
        if len(kept) == limit:
            break
        if not any(_is_part(gram, other) for other in kept):
            kept.append(gram)
    names = {code: step for step, code in codes.items()}
    days = max(7.0, min(WINDOW.days, (at.timestamp() - min(row[1] for row in seen)) / 86_400))
    costs = _costs(sessions, kept)
    return [
        Found(
            tuple(names[code] for code in gram), runs[gram], len(costs[gram][0]), runs[gram] / days * 7,
            round(median(costs[gram][1]) * runs[gram] / 60 * MONTH_DAYS / days),
        )
        for gram in kept
    ]  # fmt: skip


Session = tuple[str, list[int], list[tuple[float, float]]]  # user, steps, (start, end) of each


def _sessions(seen: Sequence[Seen], codes: dict[Step, int]) -> Iterable[Session]:
    user: str | None = None
    steps: list[int] = []
    times: list[tuple[float, float]] = []
    last = 0.0
    for who, at, feature, action, duration_ms in seen:
        if who != user or at - last > PAUSE_S:
            if steps:
                yield str(user), steps, times
            user, steps, times = who, [], []
        steps.append(codes.setdefault((feature, action), len(codes)))
        times.append((at, at + duration_ms / 1000))
        last = at
    if steps:
        yield str(user), steps, times


def _count(sessions: Iterable[Session]) -> Counter[tuple[int, ...]]:
    """How often each sequence comes; one that overlaps its own last run does not count again."""
    runs: Counter[tuple[int, ...]] = Counter()
    for _user, steps, _times in sessions:
        for n in range(SHORTEST, LONGEST + 1):
            ends: dict[tuple[int, ...], int] = {}
            for i in range(len(steps) - n + 1):
                gram = tuple(steps[i : i + n])
                if ends.get(gram, 0) <= i:
                    ends[gram] = i + n
                    runs[gram] += 1
    return runs


def _expected(gram: tuple[int, ...], share: dict[int, float], total: int) -> float:
    chance = float(total)
    for code in gram:
        chance *= share[code]
    return chance


def _is_part(gram: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether most transitions of the shorter one are in the other as well."""
    mine, theirs = set(pairwise(gram)), set(pairwise(other))
    return len(mine & theirs) * 2 >= min(len(mine), len(theirs))


def _costs(sessions: Iterable[Session], kept: Sequence[tuple[int, ...]]) -> dict[tuple[int, ...], tuple[set[str], list[float]]]:
    """The people behind each kept sequence, and the seconds of each run: from its first step to the end of its last."""
    costs: dict[tuple[int, ...], tuple[set[str], list[float]]] = {gram: (set(), []) for gram in kept}
    firsts: dict[int, list[tuple[int, ...]]] = defaultdict(list)
    for gram in kept:
        firsts[gram[0]].append(gram)
    for user, steps, times in sessions:
        for i, code in enumerate(steps):
            for gram in firsts.get(code, ()):
                if tuple(steps[i : i + len(gram)]) == gram:
                    costs[gram][0].add(user)
                    costs[gram][1].append(times[i + len(gram) - 1][1] - times[i][0])
    return costs


def listings_for_toil() -> list[Listing]:
    """What the store offers against toil."""
    listings = db.session.scalars(select(Listing).where(Listing.state == "published", Listing.current_version.is_not(None)).order_by(Listing.slug))
    return [listing for listing in listings if listing.automates.get("steps")]


def match(found: Iterable[Found], listings: Sequence[Listing]) -> list[Toil]:
    """Each routine with the listing whose steps overlap most (Jaccard); the same share of its minutes is what it saves."""
    return [_match(one, listings) for one in found]


def _match(found: Found, listings: Sequence[Listing]) -> Toil:
    mine, best = set(found.steps), (0.0, 0.0)
    chosen: Listing | None = None
    for listing in listings:
        theirs = {(feature, action) for feature, action in listing.automates["steps"]}
        both = len(mine & theirs)
        covered = both / len(mine)
        score = (both / len(mine | theirs), covered)
        if both >= SHORTEST and covered >= LEAST_OVERLAP and both / len(theirs) >= LEAST_OVERLAP and score > best:
            chosen, best = listing, score
    return Toil(found, chosen, round(found.minutes_a_month * best[1]))


def remember(members: Sequence[uuid.UUID], *, at: datetime) -> int:
    """Find the routines of these members and keep them for lists; returns how many. The caller's transaction."""
    listings, rows = listings_for_toil(), []
    for member_id in members:
        for toil in match(of_member(member_id, at=at), listings):
            rows.append(_row(member_id, toil, at))
    db.session.execute(delete(Routine).where(Routine.member_id.in_(members)))
    if rows:
        db.session.execute(insert(Routine), rows)
    return len(rows)


def _row(member_id: uuid.UUID, toil: Toil, at: datetime) -> dict[str, object]:
    found = toil.found
    return {
        "member_id": member_id, "id": derived("routine", member_id, found.steps), "steps": [list(step) for step in found.steps],
        "runs": found.runs, "users": found.users, "minutes_a_month": found.minutes_a_month,
        "listing_id": toil.listing.id if toil.listing else None, "minutes_saved_a_month": toil.minutes_saved_a_month, "found_at": at,
    }  # fmt: skip
