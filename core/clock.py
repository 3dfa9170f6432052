"""The one place that asks what time it is; everything else is told."""

from datetime import UTC, datetime


def now() -> datetime:
    """The present instant in UTC. Called by edges; pure functions take `at`."""
    return datetime.now(UTC)
