"""Runs of bought apps count as use: each run that succeeded is one automated event, as if the member's automation had reported it."""

from core import outbox
from operations import events


def record(message: outbox.OutboxMessage) -> None:
    """Subscriber of `run.succeeded`. The run's id is the event's, so twice is as good as once."""
    told = message.payload
    assert message.member_id is not None
    event = {
        "id": f"run-{told['run_id']}", "user": "automation", "at": told["finished_at"], "feature": "app", "action": "run", "object": told["slug"],
        "duration_ms": min(int(told["took_ms"] or 0), events.DAY_MS), "automated": True,
    }  # fmt: skip
    receipt = events.ingest([event], message.member_id, at=message.at)
    assert not receipt.rejected, receipt.rejected
