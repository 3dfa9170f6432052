"""What a member should know, said once: notices are kept as facts and put into words when they are read, in the reader's language."""

import uuid
from collections.abc import Callable, Sequence
from datetime import datetime

from flask_babel import gettext as _
from sqlalchemy import text

from core.db import db
from core.sentences import say
from membership import mailboxes
from membership.mailboxes import Details, Facts
from membership.notice_models import Notice

_RENEWED = text(
    "select v.id, v.at, jsonb_build_object('name_zh', l.name_zh || ' · ' || e.name_zh, 'name_en', l.name_en || ' · ' || e.name_en,"
    " 'amount_minor', v.amount_minor, 'currency', v.currency) as details"
    " from subscription_history v join subscription s on s.member_id = v.member_id and s.id = v.subscription_id"
    " join product_line l on l.code = s.product_line join edition e on e.product_line = s.product_line and e.rank = v.rank"
    " where v.member_id = :member and v.motion = 'renewal' and not exists ("  # before decision 0024 they were stored
    "   select from notice n where n.member_id = v.member_id and n.kind = 'subscription_renewed' and n.at = v.at)"
    " order by v.at desc limit :most"
)


def tell(member_id: uuid.UUID, kind: str, details: Details, *, at: datetime, key: str) -> bool:
    """Leave a notice for a member; `False` when the same `key` was told before. `details` are facts (see SENTENCES)."""
    assert kind in SENTENCES, f"unknown kind of notice {kind}"
    return mailboxes.of_member(member_id).tell(kind, details, at=at, key=key)


def list_newest(member_id: uuid.UUID, limit: int = 50) -> Sequence[Notice]:
    """A member's notices, the newest first, and between them the renewals that went as announced.

    Those are not stored as notices: the motion says all there is to say, and nobody has to attend to it (decision 0024).
    """
    told = mailboxes.of_member(member_id).newest(limit)
    renewed = db.session.execute(_RENEWED, {"member": member_id, "most": limit})
    quiet = [Notice(member_id=member_id, id=row.id, kind="subscription_renewed", details=row.details, at=row.at, read_at=row.at) for row in renewed]
    return sorted([*told, *quiet], key=lambda notice: notice.at, reverse=True)[:limit]


def sentence(notice: Notice) -> str:
    """A notice in words, in the language of the page."""
    return SENTENCES[notice.kind](Facts(notice.details))


def _stopped(f: Facts) -> str:
    reason, words = f.details.get("reason"), {"failures": f.text("failures"), "amount": f.money()}
    if reason == "no_card":
        said = _("Automatic top-up has stopped, because its card was removed. Choose another card to switch it on again.")
    elif reason == "refused":
        said = _("Automatic top-up has stopped, because its amount is no longer allowed. Choose another amount to switch it on again.")
    else:
        said = _("Automatic top-up has stopped after %(failures)s failed charges of %(amount)s in a row. Check the card, then switch it on again.", **words)
    return str(said)


SENTENCES: dict[str, Callable[[Facts], str]] = {
    "review_answered": lambda f: _("Your review of %(name)s was answered by its publisher.", name=f.name()),
    "review_hidden": lambda f: _("Your review of %(name)s is hidden: %(reason)s", name=f.name(), reason=f.details.get("reason", "--")),
    "subscription_past_due": lambda f: _(
        "The renewal of %(name)s costs %(amount)s, and the wallet lacks %(missing)s. Your next top-up pays it; please top up by %(day)s.",
        name=f.name(),
        amount=f.money(),
        missing=f.money("missing_minor"),
        day=f.day("until"),
    ),
    "subscription_renewed": lambda f: (
        _("%(name)s was renewed until %(day)s. %(amount)s was taken from the wallet.", name=f.name(), day=f.day("until"), amount=f.money())
        if f.details.get("until")
        else _("%(name)s was renewed. %(amount)s was taken from the wallet.", name=f.name(), amount=f.money())
    ),
    "subscription_suspended": lambda f: _(
        "%(name)s is suspended: its renewal of %(amount)s is not paid. Your data is kept. Top up by %(day)s, and it works again at once.",
        name=f.name(),
        amount=f.money(),
        day=f.day("until"),
    ),
    "renewal_upcoming": lambda f: (
        _(
            "%(name)s renews on %(day)s for %(amount)s. The wallet lacks %(missing)s; please top up before then.",
            name=f.name(),
            day=f.day("on"),
            amount=f.money(),
            missing=f.money("missing_minor"),
        )
        if f.details.get("missing_minor")
        else _("%(name)s renews on %(day)s for %(amount)s. The wallet covers it.", name=f.name(), day=f.day("on"), amount=f.money())
    ),
    "price_change": lambda f: _(
        "The price of %(name)s changes: from its renewal on %(day)s a term costs %(amount)s instead of %(before)s.",
        name=f.name(),
        day=f.day("on"),
        amount=f.money(),
        before=f.money("old_minor"),
    ),
    "win_back": lambda f: _(
        "%(name)s ended on %(day)s. Your data is still here: start again and go on where you stopped. A term costs %(amount)s.",
        name=f.name(),
        day=f.day("at"),
        amount=f.money(),
    ),
    "subscription_lapsed": lambda f: _(
        "%(name)s ended on %(day)s, because its renewal of %(amount)s was not paid. Nothing is owed any more.",
        name=f.name(),
        day=f.day("at"),
        amount=f.money(),
    ),
    "subscription_paused": lambda f: _(
        "%(name)s is paused. It resumes by itself on %(day)s; you can resume it any time before.", name=f.name(), day=f.day("until")
    ),
    "subscription_unpaused": lambda f: _("%(name)s has resumed. Its term now ends on %(day)s.", name=f.name(), day=f.day("until")),
    "subscription_ended": lambda f: _("%(name)s ended on %(day)s.", name=f.name(), day=f.day("at")),
    "top_up_settled": lambda f: (
        _("Your top-up of %(amount)s has arrived, with a bonus of %(bonus)s.", amount=f.money(), bonus=f.money("bonus_minor"))
        if f.details.get("bonus_minor")
        else _("Your top-up of %(amount)s has arrived.", amount=f.money())
    ),
    "top_up_failed": lambda f: _("Your top-up of %(amount)s did not go through: %(reason)s", amount=f.money(), reason=f.text("reason")),
    "auto_top_up_stopped": _stopped,
    "auto_top_up_capped": lambda f: _(
        "Available money is below your threshold, but automatic top-ups have reached their %(cap)s for this month. They go on from %(day)s.",
        cap=f.money("cap_minor"),
        day=f.day("until"),
    ),
    "balance_low": lambda f: _(
        "%(available)s is available in the wallet, less than the %(threshold)s below which you want to be told.",
        available=f.money("available_minor"),
        threshold=f.money("threshold_minor"),
    ),
    "credit_limit_changed": lambda f: _("Your credit limit with us is now %(limit)s.", limit=f.money("limit_minor")),
    "offer_received": lambda f: _("%(csm)s recommends %(name)s to you.", csm=f.text("csm"), name=f.name()),
    "license_suspended": lambda f: _(
        "%(name)s is suspended: its next term costs %(amount)s, which the wallet does not hold. Your next top-up brings it back.",
        name=f.name(),
        amount=f.money(),
    ),
    "license_restored": lambda f: _("%(name)s is paid and works again.", name=f.name()),
    "license_over": lambda f: _("Your licence of %(name)s has ended. What you downloaded stays yours.", name=f.name()),
    "license_seats_lost": lambda f: _(
        "%(name)s has fewer seats now: %(seats)s. These have none any more: %(names)s",
        name=f.name(),
        seats=f.text("seats"),
        names=", ".join(f.details.get("names", [])),
    ),
    "trial_over": lambda f: _("Your trial of %(name)s has ended. Nothing was charged; you can buy it in the store.", name=f.name()),
    "app_quarantined": lambda f: _("%(name)s is in quarantine while a security question is examined: %(reason)s", name=f.name(), reason=f.text("reason")),
    "app_lifted": lambda f: _("The quarantine of %(name)s is lifted; it can be used again.", name=f.name()),
    "app_withdrawn": lambda f: _(
        "Version %(version)s of %(name)s was withdrawn: %(reason)s You can go on using it, or update.",
        version=f.text("version"),
        name=f.name(),
        reason=f.text("reason"),
    ),
    "app_deprecated": lambda f: _("%(name)s is no longer sold: %(reason)s You keep what you have.", name=f.name(), reason=f.text("reason")),
    "seats_changed": lambda f: _("%(name)s now has %(seats)s seats.", name=f.name(), seats=f.text("seats")),
    "edition_changed": lambda f: _("You now have the %(edition)s edition of %(name)s.", edition=f.name("edition"), name=f.name()),
    "order_refunded": lambda f: (
        _("%(amount)s was given back to your wallet for seats of %(name)s. These seats have ended.", amount=f.money(), name=f.name())
        if f.details.get("licence") == "revoke" and f.details.get("kind") == "seats"
        else _("%(amount)s was given back to your wallet for %(name)s. Its licence has ended.", amount=f.money(), name=f.name())
        if f.details.get("licence") == "revoke"
        else _("%(amount)s was given back to your wallet for %(name)s.", amount=f.money(), name=f.name())
        if f.details.get("licence") == "none"
        else _("%(amount)s was given back to your wallet for %(name)s. You keep its licence.", amount=f.money(), name=f.name())
    ),
    "card_refund_paid": lambda f: (
        _("%(amount)s is on its way to your card. Your bank may take up to ten days to show it.", amount=f.money())
        if f.details.get("method") == "card"
        else _("%(amount)s was transferred back to your bank account.", amount=f.money())
    ),
    "card_refund_failed": lambda f: _("Your refund of %(amount)s did not go through: %(reason)s", amount=f.money(), reason=say(f.text("reason"))),
    "card_refund_rejected": lambda f: _("Your refund of %(amount)s was not approved: %(reason)s", amount=f.money(), reason=f.text("reason")),
    "goodwill_given": lambda f: _("You received a bonus of %(amount)s. It is valid until %(day)s.", amount=f.money(), day=f.day("at")),
    "wallet_adjusted": lambda f: (
        _("%(amount)s was put into your wallet by hand.", amount=f.money())
        if f.details.get("direction") == "give"
        else _("%(amount)s was taken out of your wallet by hand.", amount=f.money())
    ),
    "dispute_opened": lambda f: _("A payment of %(amount)s is disputed at the bank. Until that is settled, your wallet is frozen.", amount=f.money()),
    "dispute_won": lambda f: _("The dispute about your payment of %(amount)s is settled. Your wallet is open again.", amount=f.money()),
    "dispute_lost": lambda f: (
        _("Your payment of %(amount)s was taken back by the bank. You owe us %(owed)s of it.", amount=f.money(), owed=f.money("owed_minor"))
        if f.details.get("owed_minor")
        else _("Your payment of %(amount)s was taken back by the bank.", amount=f.money())
    ),
    "claim_escalated": lambda f: _(
        "Your claim for %(amount)s of %(name)s is with us now. We decide by %(day)s.", amount=f.money(), name=f.name(), day=f.day("until")
    ),
    "claim_rejected": lambda f: _(
        "Your claim for %(amount)s of %(name)s was not accepted: %(reason)s", amount=f.money(), name=f.name(), reason=f.text("reason")
    ),
    "service_delivered": lambda f: _(
        "%(name)s: “%(milestone)s” is delivered. Accept it or say what is wrong by %(day)s; after that it counts as accepted.",
        name=f.name(),
        milestone=f.name("milestone"),
        day=f.day("until"),
    ),
    "service_accepted": lambda f: _(
        "%(name)s: nobody objected to “%(milestone)s”, so it was accepted and %(amount)s was paid from the money held.",
        name=f.name(),
        milestone=f.name("milestone"),
        amount=f.money(),
    ),
    "service_lapsed": lambda f: _(
        "%(name)s: “%(milestone)s” was not delivered or decided in time. %(amount)s is available again.",
        name=f.name(),
        milestone=f.name("milestone"),
        amount=f.money(),
    ),
    "service_cancelled": lambda f: _("%(name)s was cancelled. %(amount)s is available again.", name=f.name(), amount=f.money()),
    "service_decided": lambda f: _(
        "%(name)s: of “%(milestone)s”, %(amount)s was paid and %(returned)s is available again. Why: %(reason)s",
        name=f.name(),
        milestone=f.name("milestone"),
        amount=f.money(),
        returned=f.money("returned_minor"),
        reason=f.text("reason"),
    ),
    "bonus_expiring": lambda f: _("A bonus of %(amount)s expires on %(day)s. What is not used by then is gone.", amount=f.money(), day=f.day("at")),
}
KINDS = tuple(SENTENCES)
TONES = {  # of those that nobody has read; all others are good news
    "subscription_past_due": "danger", "subscription_suspended": "danger", "subscription_lapsed": "danger", "price_change": "warn", "win_back": "info",
    "top_up_failed": "danger", "bonus_expiring": "warn", "auto_top_up_stopped": "danger", "auto_top_up_capped": "warn", "balance_low": "warn",
    "app_quarantined": "danger", "app_withdrawn": "warn", "app_deprecated": "warn",
}  # fmt: skip
PLACES = {  # the page where more is to be seen; of all others the subscriptions
    **dict.fromkeys(("subscription_past_due", "subscription_suspended", "top_up_settled", "top_up_failed", "balance_low"), "wallet.show_wallet"),
    **dict.fromkeys(("credit_limit_changed", "license_suspended"), "wallet.show_wallet"),
    **dict.fromkeys(("auto_top_up_stopped", "auto_top_up_capped"), "wallet.show_auto_top_up"),
    **dict.fromkeys(("bonus_expiring", "offer_received"), "store.home"),
    **dict.fromkeys(("license_restored", "license_over", "license_seats_lost", "trial_over"), "apps.list_apps"),
    **dict.fromkeys(("app_quarantined", "app_lifted", "app_withdrawn", "app_deprecated"), "apps.list_apps"),
    "review_hidden": "apps.list_apps", "review_answered": "apps.list_apps",
}  # fmt: skip
