"""A year of what users did: working sessions, planted toil, and the runs of scripts that took the toil away."""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

STEPS: dict[str, list[str]] = {
    "lead": ["open", "create", "edit_phone", "assign", "close"], "public_pool": ["open", "claim", "return"],
    "opportunity": ["open", "create", "edit_stage", "edit_amount", "win"], "joint_follow_up": ["open", "invite", "note"],
    "contact": ["open", "search", "copy_field", "paste_field", "merge", "save"], "order": ["open", "create", "edit_status", "print", "export"],
    "invoice": ["open", "create", "copy_field", "send"], "report": ["open", "filter", "export", "share"],
    "message": ["open", "send"], "import": ["open", "map_column", "run"], "calendar": ["open", "add"], "settings": ["open", "edit"],
}  # fmt: skip
STEPS_A_SESSION = 7.5  # on average, toil included
Row = tuple[str, datetime, str, str, str, int, bool]  # user, at, feature, action, object, duration_ms, automated


@dataclass(slots=True)
class Habit:
    """How one member uses the product. `toil`: routines by listing; `automated_since`: when a bought script took one over."""

    users: list[str]
    active_from: datetime
    active_until: datetime
    growth: float  # −1 falls to nothing over the year, 0 stays, +1 doubles
    toil: dict[str, list[tuple[str, str]]]
    automated_since: dict[str, datetime] = field(default_factory=dict)

    def sessions_on(self, day: datetime, intensity: float, until: datetime) -> float:
        """Mean number of sessions a user has on a working day."""
        past = (until - day) / timedelta(days=365)
        return max(0.0, intensity * (1 + self.growth * (0.5 - past)))


def expected_sessions(habit: Habit, days: list[datetime], until: datetime) -> float:
    """Sum of the mean sessions over the days, for scaling to a wanted number of events."""
    return sum(habit.sessions_on(day, 1.0, until) * len(habit.users) for day in days if habit.active_from <= day < habit.active_until)


def working_days(since: datetime, until: datetime) -> list[datetime]:
    """Monday to Friday, from the earliest day on."""
    days = (until - since).days
    return [day for n in range(days) if (day := since + timedelta(days=n)).weekday() < 5]


def events(rng: random.Random, habit: Habit, days: list[datetime], intensity: float, until: datetime) -> Iterator[Row]:
    """Every event of one member, day by day."""
    features = list(STEPS)
    for day in days:
        if not habit.active_from <= day < habit.active_until:
            continue
        mean = habit.sessions_on(day, intensity, until)
        for user in habit.users:
            for _ in range(_poisson(rng, mean)):
                at = day + timedelta(seconds=rng.uniform(0, 9 * 3600))  # 9:00 to 18:00 in China, given as UTC midnight + 1 h
                yield from _session(rng, habit, user, at, features)


def _session(rng: random.Random, habit: Habit, user: str, at: datetime, features: list[str]) -> Iterator[Row]:
    steps: list[tuple[str, str]] = []
    favourite = features[hash_of(user) % len(features)]
    for _ in range(rng.randint(2, 6)):
        feature = favourite if rng.random() < 0.3 else rng.choice(features)
        steps.append((feature, rng.choice(STEPS[feature])))
    for listing, routine in habit.toil.items():
        if rng.random() > 0.45:
            continue
        since = habit.automated_since.get(listing)
        if since is not None and at >= since and rng.random() < 0.85:
            yield "automation", at, "app", "run", listing, rng.randint(900, 4_000), True
        else:
            cut = rng.randint(0, len(steps))
            steps[cut:cut] = routine
    for feature, action in steps:
        at += timedelta(seconds=rng.expovariate(1 / 14))
        yield user, at, feature, action, f"{feature}-{rng.randint(1, 400)}", int(rng.expovariate(1 / 6_000)), False


def hash_of(text: str) -> int:
    """A small stable hash (Python's own differs from run to run)."""
    return sum((i + 1) * ord(c) for i, c in enumerate(text))


def _poisson(rng: random.Random, mean: float) -> int:
    """Knuth's method; fine for small means."""
    limit, k, product = math.exp(-mean), 0, rng.random()
    while product > limit:
        k += 1
        product *= rng.random()
    return k
