"""Table of what subscriptions cost."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base


class SubscriptionCharge(Base):
    """What a subscription cost for a service period; its id is the ledger transaction's. Unpaid ones are what the next top-up pays.

    A negative one is a credit: unused service given back (`credits_id` says from which charge). Each amount, a credit's too, is spread evenly over its own
    service period less the pauses in it (`SubscriptionPause`): summed up, that is what has been used of the term (decision 0021).
    """

    __tablename__ = "subscription_charge"
    member_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)  # derived from subscription and term, or the client's id of a change
    subscription_id: Mapped[uuid.UUID]
    motion: Mapped[str]  # new | renewal | seats | upgrade | period | maintenance | arrears; of a credit: downgrade | seats | period | cancel
    term: Mapped[int]
    currency: Mapped[str]
    amount_minor: Mapped[int]  # tax included
    tax_minor: Mapped[int]
    service_from: Mapped[datetime]
    service_until: Mapped[datetime]  # moves with the term's end when a pause is over
    state: Mapped[str]  # paid | unpaid | void
    due_at: Mapped[datetime]
    paid_at: Mapped[datetime | None]
    credits_id: Mapped[uuid.UUID | None]  # of a credit: the charge that it gives back a part of
    run_id: Mapped[uuid.UUID | None]  # the renewal run that paid it; None: a top-up, or the member itself
    service_units: Mapped[int | None]  # how many proration units it covers; None: a whole term
    is_deferred: Mapped[bool] = mapped_column(default=False, server_default=text("false"))  # taken up into the schedule of recognition
    motion_rank: Mapped[int | None]  # these four where the charge is its motion, too: a plain renewal (view subscription_history)
    motion_seats: Mapped[int | None]
    arr_before_minor: Mapped[int | None]
    arr_after_minor: Mapped[int | None]
    __table_args__ = (
        CheckConstraint("state in ('paid', 'unpaid', 'void')", name="state"),
        CheckConstraint(
            "service_until > service_from and case when credits_id is null then amount_minor >= 0 and tax_minor between 0 and amount_minor"
            " else amount_minor < 0 and tax_minor between amount_minor and 0 and state = 'paid' end",
            name="amounts",
        ),
        CheckConstraint("service_units > 0", name="service_units"),
        Index("subscription_charge_new_idx", "paid_at", postgresql_where=text("state = 'paid' and not is_deferred")),
        Index("subscription_charge_unpaid_idx", "member_id", "due_at", postgresql_where=text("state = 'unpaid'")),
        Index("subscription_charge_paid_at_idx", "paid_at", postgresql_using="brin", postgresql_with={"pages_per_range": 32}),
    )
