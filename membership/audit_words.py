"""What the audit trail's actions are called, in words. A test finds every action that is recorded; each has its words here."""

from flask_babel import LazyString
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

SUBJECTS: dict[str, LazyString] = {
    "api_key": _l("API keys"), "bank_transfer": _l("Bank transfers"), "claim": _l("Claims"), "clock": _l("Clock"), "coupon": _l("Coupons"),
    "adjustment": _l("Adjustment"), "card_refund": _l("Money back to the customer"), "correction": _l("Correction"), "credit_limit": _l("Credit limit"),
    "goodwill": _l("Goodwill"), "order_refund": _l("Refund of a purchase"), "write_off": _l("Write-off"),
    "document": _l("Documents"), "document_archive": _l("Zips of documents"), "hold": _l("Holds"),
    "host_version": _l("Product versions of members"), "legal_entity": _l("Our companies"), "license": _l("Licences"), "listing": _l("Listings"),
    "member": _l("Members"), "offer": _l("Recommendations"), "payout": _l("Payouts"), "price": _l("Subscription prices"), "product_line": _l("Products"),
    "publisher": _l("Publishers"), "refund": _l("Refunds"), "renewal": _l("Renewals"), "review": _l("Reviews"), "service": _l("Services"),
    "subscription": _l("Subscriptions"), "tax_rate": _l("Tax rates"), "top_up_offer": _l("Top-up offers"), "user": _l("People"), "version": _l("Versions"),
}  # fmt: skip
ACTIONS: dict[str, LazyString] = {
    "api_key.create": _l("API key created"), "api_key.export": _l("API keys exported"), "api_key.revoke": _l("API key revoked"),
    "bank_transfer.confirm": _l("Bank transfer confirmed"), "bank_transfer.cancel": _l("Bank transfer cancelled"),
    "claim.reject": _l("Claim rejected"), "clock.advance": _l("Clock moved on"), "coupon.create": _l("Coupon created"), "coupon.end": _l("Coupon ended"),
    "document.download": _l("Document downloaded"), "document_archive.request": _l("Zip of documents asked for"),
    "document_archive.download": _l("Zip of documents downloaded"), "document_archive.remove": _l("Zip of documents removed"),
    "hold.release": _l("Hold released"), "host_version.enter": _l("Product version entered"), "legal_entity.update": _l("Our company's details changed"),
    "license.cap": _l("Monthly cap of a licence changed"), "license.seats": _l("Seats of a licence changed"),
    "listing.created": _l("Listing begun"), "listing.changed": _l("Listing changed"), "listing.submitted": _l("Listing submitted"),
    "listing.archive": _l("Listing archived"), "listing.deprecate": _l("Listing deprecated"), "listing.reinstate": _l("Listing reinstated"),
    "listing.quarantine": _l("Listing put under quarantine"), "listing.lift": _l("Quarantine of a listing lifted"),
    "member.create": _l("Member created"), "member.update": _l("Member's details changed"),
    "offer.send": _l("Recommendation sent"), "offer.withdraw": _l("Recommendation withdrawn"),
    "payout.prepare": _l("Payout prepared"), "payout.pay": _l("Payout paid"), "payout.discard": _l("Payout discarded"),
    "price.schedule": _l("Subscription price scheduled"), "price.withdraw": _l("Scheduled subscription price withdrawn"),
    "product_line.release": _l("Current version of a product set"), "publisher.named": _l("Name of a publisher changed"),
    "refund.confirm": _l("Refund confirmed"), "refund.fail": _l("Refund told as failed"), "renewal.release": _l("Parked renewal let go on"),
    "review.hide": _l("Review hidden"), "review.keep": _l("Review kept"), "service.decide": _l("Dispute of a service decided"),
    "subscription.start": _l("Subscription started"), "tax_rate.add": _l("Tax rate added"), "tax_rate.remove": _l("Tax rate removed"),
    "top_up_offer.create": _l("Top-up offer created"), "top_up_offer.end": _l("Top-up offer ended"),
    "user.create": _l("Person of ours created"), "user.invite": _l("Person invited"), "user.change_role": _l("Role changed"),
    "user.disable": _l("Person disabled"), "user.enable": _l("Person enabled"),
    "user.password_link": _l("Password link made"), "user.password_set": _l("Password set by link"),
    "version.submitted": _l("Version submitted"), "version.approved": _l("Version approved"), "version.rejected": _l("Version rejected"),
    "version.failed": _l("Version failed its checks"), "version.rechecked": _l("Version checked again"), "version.yank": _l("Version yanked"),
    "version.quarantine": _l("Version put under quarantine"), "version.lift": _l("Quarantine of a version lifted"),
}  # fmt: skip
DECISIONS: dict[str, LazyString] = {  # of money, by one person or two: <subject>.<step>
    "propose": _l("proposed"), "post": _l("booked"), "approve": _l("approved and booked"), "reject": _l("rejected"),
}  # fmt: skip


def words_of(action: str) -> str:
    """An action in the page's language; one that is not recorded any more stays as it was written down."""
    if action in ACTIONS:
        return str(ACTIONS[action])
    subject, _dot, step = action.partition(".")
    if subject in SUBJECTS and step in DECISIONS:
        return str(_("%(subject)s: %(step)s", subject=SUBJECTS[subject], step=DECISIONS[step]))
    return action
