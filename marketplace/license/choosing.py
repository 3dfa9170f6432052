"""Which version of an app its holder gets: the newest that works with what the holder runs."""

from flask_babel import gettext as _

from core.db import db
from core.errors import NotFound
from marketplace.license import licenses
from marketplace.release.version_models import ListingVersion
from marketplace.store import compatibility
from marketplace.store.listings import is_newer, public_versions
from membership import entitlements
from membership.entitlements import Standing, Verdict

RELEASED = ("published", "yanked")


def choose(owned: licenses.Owned, wanted: str | None = None, standing: Standing | None = None) -> ListingVersion:
    """The version to hand out: the wanted one; else the newest on offer, or the one bought where that is newer; else, where the holder's host is too old or
    too new for that, the installed one or the newest that fits.

    Withdrawn versions and those of withdrawn listings stay there for their owners. `standing` is the holder's, where it is known already.
    Raises NotFound.
    """
    numbers = [number for number in ([wanted] if wanted else [owned.listing.current_version, owned.license.version]) if number]
    if not wanted and is_newer(owned.license.version, owned.listing.current_version):
        numbers.reverse()  # the newest was withdrawn after it was bought
    found = next((version for number in numbers if (version := _released(owned, number)) is not None), None)
    if found is None:
        raise NotFound(_("There is no such version."))
    if wanted or found.number == owned.license.installed_version:
        return found
    standing = standing or entitlements.standing_of(owned.license.member_id)
    return found if _fits(found, owned, standing) else _fitting(owned, standing) or found


def _released(owned: licenses.Owned, number: str) -> ListingVersion | None:
    found = db.session.get(ListingVersion, (owned.license.listing_id, number))
    return found if found is not None and found.state in RELEASED else None


def _fits(version: ListingVersion, owned: licenses.Owned, standing: Standing) -> bool:
    """Does it work with the holder's host? What the edition admits is another question, which an install asks."""
    return entitlements.verdict(standing, owned.listing.product_line, 0, (), version.manifest.get("host_version")).allowed


def _fitting(owned: licenses.Owned, standing: Standing) -> ListingVersion | None:
    if owned.license.installed_version and (installed := _released(owned, owned.license.installed_version)):
        return installed
    offered = (one for one in public_versions(owned.listing.id) if not one.is_quarantined and (one.state == "published" or one.number == owned.license.version))
    return next((one for one in offered if _fits(one, owned, standing)), None)


def held_back(owned: licenses.Owned, standing: Standing) -> Verdict | None:
    """Why a newer version that is out can't be put in; None where there is none, or where it can."""
    return compatibility.obstacle(owned.listing, standing) if owned.update else None


def update_of(owned: licenses.Owned, standing: Standing) -> str | None:
    """The newer version that can be put in."""
    return owned.update if owned.update and held_back(owned, standing) is None else None
