"""What the background jobs are called, in words, by the dotted name of their function. A test finds every job; each has its words here."""

from flask_babel import LazyString
from flask_babel import lazy_gettext as _l

JOBS: dict[str, LazyString] = {
    "billing.document.document_archive_jobs.sweep": _l("Zips of documents: go on with and put away"),
    "billing.document.document_archive_jobs.write": _l("A zip of documents"),
    "billing.document.document_jobs.issue_documents": _l("Invoices and receipts that are due"),
    "billing.refund.card_refund_jobs.check_pending": _l("Refunds: ask Stripe how they stand"),
    "billing.renewal.renewal_jobs.renew_due_subscriptions": _l("Renewals of subscriptions"),
    "billing.renewal.renewal_jobs.tell_members": _l("Notices of renewals and price increases"),
    "billing.revenue.recognition_jobs.recognise_days": _l("Revenue that was earned by the day"),
    "billing.subscription.subscription_jobs.resume_paused": _l("Subscriptions whose pause is over"),
    "billing.top_up.top_up_jobs.check_pending": _l("Card top-ups: ask Stripe how they stand"),
    "billing.top_up.top_up_jobs.pay": _l("An automatic top-up: charge the card"),
    "billing.top_up.top_up_jobs.process_waiting": _l("Payment events that were left over"),
    "billing.wallet.wallet_jobs.expire_holds": _l("Holds that end"),
    "billing.wallet.wallet_jobs.expire_money": _l("Money that runs out"),
    "billing.wallet.wallet_jobs.top_up_low_wallets": _l("Automatic top-ups that are due"),
    "billing.wallet.wallet_jobs.warn_of_ending_bonus": _l("Warnings of bonus that ends soon"),
    "billing.wallet.wallet_jobs.warn_of_low_balances": _l("Warnings of a low balance"),
    "core.clock_jobs.go_on": _l("The clock: go on to where it was sent"),
    "core.outbox.deliver_waiting": _l("Messages between rooms"),
    "marketplace.checks.jobs.check_version": _l("Check of a version"),
    "marketplace.checks.jobs.check_waiting": _l("Versions that wait for their checks"),
    "marketplace.checks.jobs.replay_one": _l("New check of a version on sale"),
    "marketplace.checks.jobs.replay_published": _l("New checks of all that is on sale"),
    "marketplace.license.license_jobs.renew_due_licenses": _l("Renewals of licences"),
    "marketplace.partner.claims.escalate_due_now": _l("Claims that a partner has not answered in time"),
    "marketplace.partner.partner_payables.release_due_now": _l("Partners’ shares whose refund window is over"),
    "marketplace.run.run_jobs.perform": _l("Run of an app"),
    "marketplace.run.run_jobs.put_away_files": _l("Files of old runs: put away"),
    "marketplace.run.run_jobs.run_waiting": _l("Runs of apps that wait"),
    "marketplace.service.service_decisions.run_due_now": _l("Services: deliveries and disputes whose time is up"),
    "operations.jobs.expire_offers": _l("Recommendations that expire"),
    "operations.jobs.find_routines": _l("Routines: find what members repeat"),
    "operations.jobs.refresh_activity": _l("Activity of all members"),
    "operations.jobs.refresh_usage": _l("Usage by day"),
}
QUEUES: dict[str, LazyString] = {"urgent": _l("Urgent"), "default": _l("Ordinary"), "bulk": _l("Large, not urgent")}


def words_of(job: str) -> str:
    """A job in the page's language; one that does not exist any more, and has failed before, by the name of its function."""
    return str(JOBS.get(job, job))
