"""Load the demo world: who, what is sold, a year of money and a year of behaviour."""

import random
from datetime import timedelta
from typing import Protocol

from flask import current_app
from sqlalchemy import text

from billing.revenue import recognition_jobs
from core import clock, migrations
from core.db import SYSTEM, transaction
from marketplace.release import bundles, publishing
from operations import jobs, rollups
from operations.demo import cast, events, history, offerings, own_copies, papers, services, social, store_terms

SEED = 20_260_601


class Progress(Protocol):
    """How loading tells how far it is."""

    def begin(self, what: str, total: int) -> None:
        """A new step of `total` units starts."""

    def advance(self, units: int) -> None:
        """Some units of the present step are done."""

    def end(self) -> None:
        """The present step is done."""


def load(members: int, wanted_events: int, progress: Progress, seed: int = SEED) -> int:
    """Fill an empty database; returns the number of behaviour events. The same seed on the same day gives the same world."""
    until = clock.now().replace(minute=0, second=0, microsecond=0)
    since = events.window(until)
    rng = random.Random(seed)  # noqa: S311 (a world to look at, not a secret)
    with transaction(SYSTEM) as session:
        csms, sellers = cast.hire(session, since)
        offerings.sell(session, since - timedelta(days=1), cast.CURRENCY)
        showcase = bundles.load_showcase()
        for n, listing in enumerate(showcase):
            publishing.publish(listing, sellers[listing.publisher], since + timedelta(days=3 * n))
        store_terms.offer(since)
        store_terms.bundle(until - timedelta(days=20))
        people = cast.join(session, rng, members, csms, since, until)
        papers.write(session, people)
    toils = {listing.slug: list(listing.automates) for listing in showcase if len(listing.automates) >= 3}
    habits = events.habits(rng, people, toils, until)
    plans = history.plans(rng, people, habits, [listing.slug for listing in showcase], since, until)

    year = history.Year(rng, people, plans, habits)
    progress.begin("a year of money", (until - since).days + 1)
    year.play(since, until, progress.advance)
    progress.end()
    progress.begin("revenue by the day", 1)
    recognition_jobs.recognise_days(until)
    progress.end()

    progress.begin("a year of behaviour", wanted_events)
    with transaction(SYSTEM) as session:
        written = events.write(session, rng, people, habits, since, until, wanted_events, progress.advance)
    progress.end()
    progress.begin("daily rollups", 1)
    _analyze()
    with transaction(SYSTEM):
        rollups.mark_all_stale()
    _analyze()
    while _roll_up():
        pass
    jobs.find_routines()
    progress.end()
    store_terms.give_seats(until)
    store_terms.install(until)
    own_copies.play(until)
    social.talk(rng, people, until)
    services.play(people, since, until)
    _analyze()
    return written


def _analyze() -> None:
    """Fresh statistics for the planner after so much at once; the owner's right."""
    with migrations.owner_engine(current_app.extensions["settings"]).begin() as connection:
        connection.execute(text("analyze"))


def _roll_up() -> int:
    with transaction(SYSTEM):
        return len(rollups.refresh(20_000, at=clock.now()))
