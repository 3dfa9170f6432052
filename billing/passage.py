"""What time brings about in the billing room, for a demo's moving clock: each step does what its scheduled job does, at a given instant."""

from datetime import datetime

from billing.document import document_jobs
from billing.renewal import renewal_jobs
from billing.revenue import recognition, recognition_jobs
from billing.subscription import subscription_jobs
from billing.wallet import wallet_jobs
from core.passage import Step


def tell_members(at: datetime) -> None:
    """Once a local day, when it is over: what the jobs tell hourly or more often."""
    renewal_jobs.tell_members(at)
    wallet_jobs.warn_of_low_balances(at)


NOTICES = Step("announcements and warnings", recognition.DUE, tell_members)
RECOGNITION = Step("recognition of revenue", recognition.DUE, recognition_jobs.recognise_days)
MONEY_EXPIRES = Step("expiry of money", "select min(next_expiry_at) from wallet", wallet_jobs.expire_money)
HOLDS_EXPIRE = Step("expiry of holds", "select min(expires_at) from hold where state = 'open'", wallet_jobs.expire_holds)
PAUSES_END = Step("end of pauses", "select min(resumes_at) from subscription where state = 'paused'", subscription_jobs.resume_paused)
RENEWALS = Step(
    "renewals",
    "select min(next_attempt_at) from subscription where state in ('trialing', 'active', 'past_due')",
    renewal_jobs.renew_due_subscriptions,
)
AUTO_TOP_UPS = Step(
    "automatic top-ups",
    "select min(a.next_at) from auto_top_up a join wallet w on w.member_id = a.member_id and w.currency = a.currency where a.state = 'on' and w.state = 'open'"
    " and a.threshold_minor > w.paid_minor + w.bonus_minor - w.held_minor"
    " and not exists (select from top_up t where t.member_id = a.member_id and t.state = 'pending' and t.method = 'card')",
    wallet_jobs.top_up_and_wait,
)
# A document's date is the day on which it is written: at its last second, once a day is often enough for a moving clock.
DOCUMENTS = Step(
    "documents",
    "select least((select min(greatest(w.last_effective_at, ((w.last_effective_at at time zone e.timezone)::date + 1)::timestamp at time zone e.timezone"
    " - interval '1 second')) from wallet w join book b on b.id = w.member_id join legal_entity e on e.id = b.entity_id"
    " left join document_position p on p.member_id = w.member_id and p.currency = w.currency where w.last_seq > coalesce(p.last_seq, 0)),"
    " (select min(due_at) from document_waiting))",
    document_jobs.issue_all,
)
