"""Another version in place of the installed one: an untouched copy goes along, an edited one asks what becomes of each file both sides have changed."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flask_babel import gettext as _

from core.actor import actor
from core.errors import Conflict, Invalid
from marketplace.checks.findings import Finding
from marketplace.copy import copies, editing, merging, payload
from marketplace.copy.copies import Copy, Writer
from marketplace.copy.editing import ChangedMeanwhile
from marketplace.copy.merging import Change, Outcome
from marketplace.license import choosing, installs, license_terms, licenses
from marketplace.release import lifecycle
from marketplace.release.version_models import ListingVersion
from marketplace.seat import seats
from membership import entitlements


class ChoiceNeeded(Conflict):
    """Files that both sides have changed: say for each what becomes of it. Nothing was changed."""

    code = "choice_needed"


class NothingToUpdate(Conflict):
    """That version is there already."""

    code = "nothing_to_update"


@dataclass(frozen=True, slots=True)
class Update:
    """What an update from the present copy to `version` means for the member's own files."""

    copy: Copy
    version: ListingVersion
    changes: Sequence[Change]
    old: Mapping[str, bytes]  # the publisher's files of the copy's version
    new: Mapping[str, bytes]  # and of the other

    @property
    def open_changes(self) -> list[Change]:
        """Those that need a choice."""
        return [one for one in self.changes if one.needs_choice]


@dataclass(frozen=True, slots=True)
class Draft:
    """An update that has been decided: read in one transaction, checked outside, made in another. `bundle` is None where nothing of the member's is in it."""

    license_id: uuid.UUID
    kind: str
    version: str
    outcomes: Sequence[Outcome]
    before: tuple[str | None, int]  # the version that was installed, and the last step
    bundle: bytes | None


def plan(owned: licenses.Owned, wanted: str | None = None) -> Update:
    """What an update to `wanted` (by default the newest that the member may use) would ask.

    Raises NoSeat, NotFound, NothingToUpdate, Incompatible, Quarantined.
    """
    seats.check(owned.license, actor())
    standing = entitlements.standing_of(owned.license.member_id)
    copy = copies.of(owned, standing)
    version = choosing.choose(owned, wanted, standing)
    if version.number == owned.license.installed_version:
        raise NothingToUpdate(_("Version %(number)s is the one you have.", number=version.number))
    lifecycle.check_usable(owned.listing, version)
    installs.check(owned, version, standing)
    old, new = copies.theirs(copy.version), copies.theirs(version)
    return Update(copy, version, merging.changes(old, copies.mine(copy), new) if copy.is_edited else [], old, new)


def begin(owned: licenses.Owned, wanted: str | None, choices: Mapping[str, str], by: Writer) -> Draft:
    """Decide an update. Raises what `plan` raises, LicenseEnded, ChoiceNeeded."""
    licenses.check(owned.license, by.at)
    update = plan(owned, wanted)
    try:
        outcomes = merging.resolve(update.changes, choices, update.copy.version.number, update.new)
    except merging.Undecided as error:
        raise _needed(update, error) from error
    own = {one.path: one.content for one in outcomes if one.content is not None}
    bundle = payload.packed(dict(update.version.manifest), {**update.new, **own}).content if own else None
    before = (owned.license.installed_version, update.copy.n)
    return Draft(owned.license.id, owned.listing.kind, update.version.number, outcomes, before, bundle)


def _needed(update: Update, error: merging.Undecided) -> ChoiceNeeded:
    known = {one.path: one for one in update.changes}
    words = _("Choose what becomes of this file; you and the publisher have both changed it.")
    unknown = _("There is nothing to choose for this file.")
    fields = {path: str(words if path in known else unknown) for path in error.paths}
    asked = [{"path": path, "options": list(known[path].options)} for path in error.paths if path in known]
    return ChoiceNeeded(_("You have edited this app. Choose what becomes of each file that both sides have changed."), fields=fields, choices_needed=asked)


def finish(member_id: uuid.UUID, draft: Draft, found: Sequence[Finding], by: Writer) -> Copy:
    """Make an update that has passed its checks. Raises Invalid by file, ChangedMeanwhile, and what an install raises."""
    if found:
        known = {one.path for one in draft.outcomes}
        fields: dict[str, str] = {}
        for one in found:
            name = one.file if one.file in known else next(iter(sorted(known)))
            fields[name] = f"{fields.get(name, '')} {editing.words(one)}".strip()
        raise Invalid(_("The update was not made: your copy would not pass the store's checks."), fields=fields)
    license = license_terms.locked(member_id, draft.license_id)
    owned = licenses.owned(member_id, draft.license_id)
    if (license.installed_version, copies.of(owned).n) != draft.before:
        raise ChangedMeanwhile(_("Your copy was changed by somebody else meanwhile. Nothing was updated; look at it again."))
    version = choosing.choose(owned, draft.version)
    installs.record(owned, version, at=by.at, user_id=by.user_id)
    copies.write(license, version, draft.outcomes, by)
    return copies.of(owned)
