"""What a publisher should know, said once: of its versions, reviews, services, claims and payouts, and of bundles that hold what it offers.

Staff and jobs tell in the transaction that does it. What a member does comes by the outbox: a member has no right to write to a publisher.
"""

import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import select
from sqlalchemy.orm import defer

from core import outbox
from core.db import db
from marketplace.checks.findings import Finding, read
from marketplace.partner.partner_models import RefundClaim
from marketplace.service.service_models import ServiceMilestone, ServiceOrder
from marketplace.store.listing_models import Listing
from marketplace.store.review_models import Review
from membership import mailboxes, notices
from membership.mailboxes import Details, Facts

SERVICE_TOPIC, CLAIM_TOPIC, ANSWER_TOPIC = "service.stepped", "claim.stepped", "review.answered"


def tell(publisher_id: uuid.UUID, kind: str, details: Details, *, at: datetime, key: str) -> bool:
    """Leave a notice for a publisher; `False` when the same `key` was told before. `details` are facts (see SENTENCES)."""
    assert kind in SENTENCES, f"unknown kind of notice {kind}"
    return mailboxes.of_publisher(publisher_id).tell(kind, details, at=at, key=f"{kind}:{key}")


def tell_of(listing: Listing, kind: str, *, at: datetime, key: str, **details: Any) -> bool:
    """The same about one of its listings."""
    about = {"name_zh": listing.name_zh, "name_en": listing.name_en, "slug": listing.slug, "currency": listing.currency}
    return tell(listing.publisher_id, kind, about | details, at=at, key=f"{listing.id}:{key}")


def service_stepped(message: outbox.OutboxMessage) -> None:
    """Subscriber of `service.stepped`: what became of an order or a milestone, where the partner did not do it itself."""
    told = message.payload
    kind = {"order": "service_ordered", "accept_silently": "service_accepted", "accept": "service_accepted"}.get(told["action"], f"service_{told['action']}")
    order = db.session.get(ServiceOrder, (message.member_id, uuid.UUID(told["order_id"])))
    assert order is not None
    one = db.session.get(ServiceMilestone, (order.member_id, order.id, told["position"])) if told["position"] else None
    words = {"milestone_zh": one.name_zh, "milestone_en": one.name_en, "reason": one.dispute_reason, "days": order.ends_at.isoformat()} if one else {}
    words |= {"until": order.ends_at.isoformat(), "amount_minor": told["amount_minor"], "member_id": str(order.member_id), "service_id": str(order.id)}
    key = f"{order.member_id}:{order.id}:{told['position']}"
    tell_of(_listing(order.listing_id), kind, at=message.at, key=key, **words | {"reason": told["reason"], "silent": told["action"] == "accept_silently"})


def claim_stepped(message: outbox.OutboxMessage) -> None:
    """Subscriber of `claim.stepped`: a buyer has opened a claim, or taken it back."""
    claim = db.session.get(RefundClaim, (message.member_id, uuid.UUID(message.payload["claim_id"])))
    assert claim is not None
    tell_of_claim(claim, message.payload["action"], at=message.at, reason=claim.decision_reason, decided_minor=claim.decision_minor)


def tell_of_claim(claim: RefundClaim, action: str, *, at: datetime, **details: Any) -> None:
    """What became of a claim on something it sold."""
    about = {
        "amount_minor": claim.amount_minor, "currency": claim.currency, "until": claim.answer_by.isoformat(), "member_id": str(claim.member_id),
        "claim_id": str(claim.id),
    }  # fmt: skip
    tell_of(_listing(claim.listing_id), f"claim_{action}", at=at, key=f"{claim.member_id}:{claim.id}", **about | details)


def review_written(message: outbox.OutboxMessage) -> None:
    """Subscriber of `review.written`: a buyer has written a review, or changed its stars."""
    if "review_id" not in message.payload:
        return  # a rating was counted anew, nothing was written
    review = db.session.scalar(select(Review).where(Review.id == uuid.UUID(message.payload["review_id"])))
    assert review is not None
    about = {"stars": message.payload["stars"], "author": review.author}
    tell_of(_listing(review.listing_id), "review_written", at=message.at, key=f"{review.id}:{message.id}", **about)


def review_answered(message: outbox.OutboxMessage) -> None:
    """Subscriber of `review.answered`: its author is told that the publisher has answered."""
    review = db.session.scalar(select(Review).where(Review.id == uuid.UUID(message.payload["review_id"])))
    assert review is not None
    if review.answer:
        listing = _listing(review.listing_id)
        names = {"name_zh": listing.name_zh, "name_en": listing.name_en}
        notices.tell(review.member_id, "review_answered", names, at=message.at, key=f"review_answered:{message.id}")


def _listing(listing_id: uuid.UUID) -> Listing:
    return db.session.get_one(Listing, listing_id, options=[defer(Listing.search)])


def _what(f: Facts) -> str:
    """A listing, or one version of it."""
    return f"{f.name()} {f.details['version']}" if f.details.get("version") else f.name()


def _finding(f: Facts) -> str:
    """What a check found and how to mend it, in the reader's language."""
    found: Finding = read(f.details.get("finding") or {"rule": "", "what": ""})
    return " ".join(part for part in (f"{found.where}:" if found.where else "", found.sentence, found.fix) if part)


SENTENCES: dict[str, Callable[[Facts], str]] = {
    "checks_passed": lambda f: (
        _("%(name)s %(version)s has passed its checks. Submit the listing, and a reviewer looks at it.", name=f.name(), version=f.text("version"))
        if f.details.get("is_draft")
        else _("%(name)s %(version)s has passed its checks. A reviewer decides by %(day)s.", name=f.name(), version=f.text("version"), day=f.day("until"))
    ),
    "checks_failed": lambda f: _("%(name)s %(version)s has not passed its checks. %(finding)s", name=f.name(), version=f.text("version"), finding=_finding(f)),
    "replay_failed": lambda f: _(
        "%(name)s %(version)s is on sale, but has not passed today’s repeated check. %(finding)s",
        name=f.name(), version=f.text("version"), finding=_finding(f),
    ),
    "bundle_joined": lambda f: _(
        "%(name)s is now part of our bundle “%(bundle)s”: of its price of %(price)s, %(amount)s is for yours, tax included.",
        name=f.name(), bundle=f.name("bundle"), price=f.money("bundle_minor"), amount=f.money(),
    ),
    "version_approved": lambda f: (
        _("%(name)s is on sale with version %(version)s.", name=f.name(), version=f.text("version"))
        if f.details.get("is_first")
        else _("%(name)s %(version)s is released.", name=f.name(), version=f.text("version"))
    ),
    "version_rejected": lambda f: _("%(name)s %(version)s was sent back: %(reason)s", name=f.name(), version=f.text("version"), reason=f.text("reason")),
    "step_yank": lambda f: _("%(name)s %(version)s was withdrawn by us: %(reason)s", name=f.name(), version=f.text("version"), reason=f.text("reason")),
    "step_quarantine": lambda f: _("%(name)s is in quarantine: %(reason)s Nobody can buy or run it meanwhile.", name=_what(f), reason=f.text("reason")),
    "step_lift": lambda f: _("The quarantine of %(name)s is lifted: %(reason)s", name=_what(f), reason=f.text("reason")),
    "step_deprecate": lambda f: _("%(name)s is no longer sold: %(reason)s", name=f.name(), reason=f.text("reason")),
    "step_reinstate": lambda f: _("%(name)s is sold again: %(reason)s", name=f.name(), reason=f.text("reason")),
    "step_archive": lambda f: _("%(name)s was archived: %(reason)s", name=f.name(), reason=f.text("reason")),
    "review_written": lambda f: _("%(author)s rates %(name)s with %(stars)s of 5 stars.", author=f.text("author"), name=f.name(), stars=f.text("stars")),
    "report_hidden": lambda f: _("A reported review of %(name)s is hidden and counts no longer: %(reason)s", name=f.name(), reason=f.text("reason")),
    "report_kept": lambda f: _("A reported review of %(name)s stays: %(reason)s", name=f.name(), reason=f.text("reason")),
    "service_ordered": lambda f: _(
        "%(name)s was ordered for %(amount)s, which is held. Deliver everything by %(day)s.", name=f.name(), amount=f.money(), day=f.day("until")
    ),
    "service_accepted": lambda f: (
        _("%(name)s: nobody objected to “%(milestone)s”, so %(amount)s was paid for it.", name=f.name(), milestone=f.name("milestone"), amount=f.money())
        if f.details.get("silent")
        else _("%(name)s: “%(milestone)s” is accepted, %(amount)s was paid for it.", name=f.name(), milestone=f.name("milestone"), amount=f.money())
    ),
    "service_dispute": lambda f: _(
        "%(name)s: the member objects to “%(milestone)s”. We decide; until then the money stays held. Its reason: %(reason)s",
        name=f.name(), milestone=f.name("milestone"), reason=f.text("reason"),
    ),
    "service_decide": lambda f: _(
        "%(name)s: of “%(milestone)s” %(amount)s is paid. Why: %(reason)s",
        name=f.name(), milestone=f.name("milestone"), amount=f.money(), reason=f.text("reason"),
    ),
    "service_lapse": lambda f: _(
        "%(name)s: “%(milestone)s” was not delivered or decided in time; its %(amount)s went back to the member.",
        name=f.name(), milestone=f.name("milestone"), amount=f.money(),
    ),
    "service_release": lambda f: _(
        "%(name)s: the member has cancelled “%(milestone)s”; its %(amount)s went back. Its reason: %(reason)s",
        name=f.name(), milestone=f.name("milestone"), amount=f.money(), reason=f.text("reason"),
    ),
    "claim_opened": lambda f: _(
        "A buyer asks for %(amount)s of %(name)s back. Answer by %(day)s; after that we decide.", amount=f.money(), name=f.name(), day=f.day("until")
    ),
    "claim_withdrawn": lambda f: _("The claim for %(amount)s of %(name)s was taken back.", amount=f.money(), name=f.name()),
    "claim_overdue": lambda f: _("The claim for %(amount)s of %(name)s was not answered in time; we decide now.", amount=f.money(), name=f.name()),
    "claim_rejected": lambda f: _("The claim for %(amount)s of %(name)s was refused: %(reason)s", amount=f.money(), name=f.name(), reason=f.text("reason")),
    "claim_accepted": lambda f: _(
        "Of the claim on %(name)s, %(amount)s was given back; your share follows. Why: %(reason)s",
        amount=f.money("decided_minor"), name=f.name(), reason=f.text("reason"),
    ),
    "payout_paid": lambda f: _("%(amount)s was paid out to you. The bank’s reference: %(reference)s", amount=f.money(), reference=f.text("reference")),
}  # fmt: skip
_BAD = ("checks_failed", "replay_failed", "step_quarantine", "service_lapse")
_WARN = ("version_rejected", "step_yank", "step_deprecate", "service_dispute", "claim_opened", "claim_overdue")
TONES = dict.fromkeys(_BAD, "danger") | dict.fromkeys(_WARN, "warn")
_PLACES: dict[str, tuple[str, dict[str, str | None]]] = {  # beginning of the kind: endpoint and what it is asked for
    "checks": ("publisher.show_version", {"slug": "slug", "number": "version"}),
    "version": ("publisher.show_version", {"slug": "slug", "number": "version"}),
    "replay": ("publisher.show_version", {"slug": "slug", "number": "version"}),
    "bundle": ("publisher.show_listing", {"slug": "slug"}),
    "step": ("publisher.show_listing", {"slug": "slug"}),
    "review": ("publisher.show_listing", {"slug": "slug", "_anchor": None}),
    "report": ("publisher.show_listing", {"slug": "slug", "_anchor": None}),
    "service": ("partner_services.show_service", {"member_id": "member_id", "service_id": "service_id"}),
    "claim": ("claims.list_publisher_claims", {}),
    "payout": ("earnings.show_earnings", {}),
}  # fmt: skip


def place(kind: str, details: Details) -> tuple[str, dict[str, Any]]:
    """The page where more is to be seen: endpoint and values."""
    endpoint, asked = _PLACES[kind.partition("_")[0]]
    return endpoint, {name: details[source] if source else "reviews" for name, source in asked.items()}
