"""The repeated job that makes documents. Any number may run at once; killed anywhere, the next one goes on where the last commit was."""

import uuid
from collections.abc import Callable
from datetime import datetime

from sqlalchemy import select

from billing.document import documents
from billing.document.documents import Step
from core.clock import now
from core.db import SYSTEM, transaction
from membership.entity_models import LegalEntity


def issue_documents() -> int:
    """Write every document that is due now; returns how many were written."""
    return issue_all(now())


def issue_all(at: datetime) -> int:
    """Write every document that is due at an instant, entity by entity, a transaction a batch."""
    with transaction(SYSTEM) as session:
        entities = session.scalars(select(LegalEntity.id).order_by(LegalEntity.id)).all()
    written = 0
    for entity_id in entities:
        written += _run(documents.issue_new, entity_id, at)
        while done := _run(documents.issue_due, entity_id, at):  # invoices first, then the refunds of what stands on them
            written += done
    return written


def _run(step: Callable[..., Step], entity_id: uuid.UUID, at: datetime) -> int:
    written, reached = 0, None
    while True:
        with transaction(SYSTEM):
            done = step(entity_id, reached, at=at)
        written, reached = written + done.written, done.reached
        if not done.has_more:
            return written
