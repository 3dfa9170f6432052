"""The form of a contract: rental or perpetual, committed or not, and which price list holds for it (decision 0021)."""

from datetime import datetime

from flask_babel import gettext as _

from core.errors import Conflict, Invalid
from membership import catalogue, terms
from membership.catalogue_models import EditionPrice
from membership.subscription_models import Subscription

DEPLOYMENTS = ("saas", "private")
PERPETUAL = ("maintenance", "once")  # periods of a perpetual licence: with yearly maintenance, or without
COMMITMENTS = (2, 3, 5)  # years that are offered on pages; any number from 2 on is accepted
LONGEST_COMMITMENT = 10


class Committed(Conflict):
    """The contract is committed for longer; `until` is the day (ISO) of the first one that is not."""

    code = "committed"


def licensing_of(period: str) -> str:
    """What a period says about the licence."""
    return "perpetual" if period in PERPETUAL else "rental"


def is_committed(subscription: Subscription) -> bool:
    """Does the present term belong to a commitment?"""
    return subscription.committed_until is not None and subscription.committed_until >= subscription.term_end


def is_instalment_next(subscription: Subscription) -> bool:
    """Is the next term an instalment of a commitment?"""
    return subscription.committed_until is not None and subscription.committed_until > subscription.term_end


def free_at(subscription: Subscription) -> datetime:
    """When what is scheduled takes effect: with the next term, or, within a commitment, when that is over."""
    return subscription.committed_until if subscription.committed_until and is_committed(subscription) else subscription.term_end


def instalments_left(subscription: Subscription) -> int:
    """Yearly instalments of the commitment that are still to come after the present term."""
    if subscription.committed_until is None or subscription.state == "ended":
        return 0
    return max(0, round((subscription.committed_until - subscription.term_end).days / 365.25))


def listed_at(subscription: Subscription) -> datetime:
    """The instant whose price list holds for changes within the present term."""
    if subscription.price_locked_at is not None and is_committed(subscription):
        return subscription.price_locked_at
    if subscription.state == "trialing":
        return subscription.term_end
    return subscription.priced_at or subscription.term_start


def price_in_term(subscription: Subscription, rank: int) -> EditionPrice:
    """An edition's price in this term. One sold only since it began has no price before the next term. Raises NoPrice."""
    return catalogue.price(subscription.product_line, rank, subscription.currency, subscription.period, listed_at(subscription))


def commit(subscription: Subscription, years: int, timezone: str) -> None:
    """Bind a yearly rental for so many years from the beginning of its present term, at the prices of that term."""
    subscription.commitment_years = years
    subscription.price_locked_at = subscription.term_start
    first = terms.local_day(subscription.term_start, timezone)
    subscription.committed_until = terms.start_of_day(terms.add_months(first, 12 * years, subscription.anchor_day), timezone)


def assert_committable(subscription: Subscription, years: int) -> None:
    """Raises Conflict or Invalid where a commitment of so many years can't begin with the present term."""
    if not 2 <= years <= LONGEST_COMMITMENT:
        raise Invalid(_("Choose from 2 to %(most)s years.", most=LONGEST_COMMITMENT), field="years")
    if subscription.state != "active" or subscription.period != "year" or subscription.cancel_at_term_end:
        raise Conflict(_("Only a running yearly subscription that is not cancelled can be committed for years."))
    if is_committed(subscription) and (subscription.commitment_years or 0) >= years:
        raise Conflict(_("It is committed for that long already."))


def assert_free(subscription: Subscription) -> None:
    """Raises Committed where something may not be given up before the commitment is over."""
    if is_committed(subscription) and subscription.committed_until is not None:
        raise Committed(
            _("This contract is committed for longer. What becomes less can be scheduled for its end."), until=subscription.committed_until.date().isoformat()
        )
