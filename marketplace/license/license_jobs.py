"""The repeated job that renews and ends store licences."""

from core import clock
from core.passage import Step
from marketplace.license import license_renewals


def renew_due_licenses() -> int:
    """The repeated job: licences whose term is over now."""
    return license_renewals.renew_all(clock.now())


LICENSES = Step("store licences", "select min(next_attempt_at) from license", license_renewals.renew_all)
