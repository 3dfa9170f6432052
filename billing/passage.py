"""What time brings about in the billing room, for a demo's moving clock: each step does what its scheduled job does, at a given instant."""

from datetime import datetime

from sqlalchemy import text

from billing import document_jobs, recognition, recognition_jobs, renewal_jobs
from core.db import SYSTEM, transaction
from core.passage import Step

WALLETS_AT_ONCE = 500


def expire(at: datetime) -> int:
    """Let money that has expired lapse, wallet by wallet; returns the number of grants."""
    total = 0
    while True:
        with transaction(SYSTEM) as session:
            done = int(session.scalar(text("select expire_due(:at, :most)"), {"at": at, "most": WALLETS_AT_ONCE}) or 0)
        total += done
        if not done:
            return total


RECOGNITION = Step("recognition of revenue", recognition.DUE, recognition_jobs.recognise_days)
EXPIRY = Step("expiry of money", "select min(next_expiry_at) from wallet", expire)
RENEWALS = Step(
    "renewals",
    "select min(next_attempt_at) from subscription where state in ('trialing', 'active', 'past_due')",
    renewal_jobs.live_through,
)
DOCUMENTS = Step(
    "documents",
    "select least((select min(w.last_effective_at) from wallet w left join document_position p on p.member_id = w.member_id and p.currency = w.currency"
    " where w.last_seq > coalesce(p.last_seq, 0)), (select min(due_at) from document_waiting))",
    document_jobs.issue_all,
)
