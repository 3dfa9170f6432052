"""What an automatic top-up does, in plain words: the same before it is switched on, while it is on, and in the API."""

from flask_babel import gettext as _
from flask_babel import ngettext

from billing.payment.payment_models import PaymentMethod
from billing.top_up.auto_top_ups import Limits, Terms
from core.formats import money


def sentences(terms: Terms, card: PaymentMethod, given: Limits, currency: str) -> list[str]:
    """What will happen, sentence by sentence."""
    minutes = int(given.interval.total_seconds()) // 60
    return [
        _(
            "When available money falls below %(threshold)s, your %(card)s is charged %(amount)s.",
            threshold=money(terms.threshold_minor, currency), card=name_of(card), amount=money(terms.amount_minor, currency),
        ),
        _("At most %(cap)s is charged in a calendar month; top-ups that you make yourself do not count.", cap=money(terms.cap_minor, currency)),
        ngettext(
            "One charge at a time, and at least %(num)s minute apart, however much is bought.",
            "One charge at a time, and at least %(num)s minutes apart, however much is bought.", minutes,
        ),
        ngettext(
            "After %(num)s failed charge it stops and tells you; nothing is charged until you switch it on again.",
            "After %(num)s failed charges in a row it stops and tells you; nothing is charged until you switch it on again.", given.max_failures,
        ),
    ]  # fmt: skip


def name_of(card: PaymentMethod) -> str:
    """How a person recognises a card."""
    return f"{card.brand.title()} •• {card.last4}"


def why_stopped(reason: str | None, given: Limits) -> str:
    """Why it stands still."""
    if reason == "no_card":
        said = _("Its card was removed. Choose another card.")
    elif reason == "refused":
        said = _("Its amount is no longer allowed. Choose another amount.")
    else:
        said = ngettext("The card was declined.", "The card was declined %(num)s times in a row.", given.max_failures)
    return str(said)
