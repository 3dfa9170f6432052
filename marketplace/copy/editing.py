"""Making a file one's own: what would be saved is checked first, outside any transaction, then kept."""

import uuid
from dataclasses import dataclass

from flask_babel import gettext as _

from core.errors import Conflict, Invalid
from core.settings import Settings
from marketplace.checks.findings import Finding
from marketplace.copy import copies, payload
from marketplace.copy.copies import Copy, Writer
from marketplace.copy.merging import Outcome
from marketplace.license import installs, license_terms, licenses
from marketplace.release import lifecycle


class ChangedMeanwhile(Conflict):
    """Somebody else has saved this file since it was opened; nothing was saved."""

    code = "changed_meanwhile"


class CopyRefused(Invalid):
    """What the store's checks say about the edited copy; nothing was saved."""

    code = "copy_refused"


@dataclass(frozen=True, slots=True)
class Draft:
    """A change on its way: read in one transaction, checked outside, kept in another. `seen` is the hash of the file that the writer had before it."""

    license_id: uuid.UUID
    version: str
    kind: str
    path: str
    content: bytes
    before: bytes | None
    seen: str | None
    bundle: bytes

    @property
    def is_change(self) -> bool:
        """It differs from what is there."""
        return self.before != self.content


def begin(owned: licenses.Owned, path: str, content: bytes | str, seen: str | None, settings: Settings, by: Writer) -> Draft:
    """Read what a check needs. Text from a browser keeps the file's own line ends. Raises what a download raises, NotEditable, Invalid, TooManyEdits."""
    licenses.check(owned.license, by.at)
    copy = copies.of(owned)
    lifecycle.check_usable(owned.listing, copy.version)
    copies.check_editable(owned, copy, path)
    copies.check_pace(owned.license.member_id, settings.copy_edits_per_day, by.at)
    files = payload.with_changes(copies.theirs(copy.version), copies.mine(copy))
    before = files.get(path)
    written = payload.from_browser(content, before or b"") if isinstance(content, str) else content
    if len(written) > settings.copy_file_mb << 20:
        raise Invalid(_("The file is larger than %(limit)s MB.", limit=settings.copy_file_mb), field="content")
    made = payload.packed(dict(copy.version.manifest), {**files, path: written})
    return Draft(owned.license.id, copy.version.number, owned.listing.kind, path, written, before, seen, made.content)


def keep(member_id: uuid.UUID, draft: Draft, found: list[Finding], kind: str, by: Writer) -> Copy:
    """Save a draft that has passed its checks. What is the publisher's own again is no edit. Raises CopyRefused, ChangedMeanwhile."""
    refuse(found)
    license_terms.locked(member_id, draft.license_id)
    owned = licenses.owned(member_id, draft.license_id)
    copy = copies.of(owned)
    present = payload.with_changes(copies.theirs(copy.version), copies.mine(copy)).get(draft.path)
    if copy.version.number != draft.version or (draft.seen is not None and present is not None and payload.digest(present) != draft.seen):
        raise ChangedMeanwhile(_("This file was changed by somebody else since you opened it. Nothing was saved; look at both and save again."))
    if present == draft.content:
        return copy
    if owned.license.installed_version is None:
        installs.record(owned, copy.version, at=by.at, user_id=by.user_id)
    theirs = copies.theirs(copy.version).get(draft.path)
    outcome = Outcome("drop", draft.path, None) if theirs == draft.content else Outcome(kind, draft.path, draft.content)
    copies.write(owned.license, copy.version, [outcome], by)
    return copies.of(owned)


def drop(owned: licenses.Owned, path: str, by: Writer) -> Copy:
    """Take the publisher's file again, or take a file away that only the member has. What was written stays in the history. Raises NotEditable."""
    license_terms.locked(owned.license.member_id, owned.license.id)
    copy = copies.of(owned)
    if path not in copy.own:
        raise copies.NotEditable(_("This file is as the publisher made it."), field="path")
    copies.write(owned.license, copy.version, [Outcome("drop", path, None)], by)
    return copies.of(owned)


def refuse(found: list[Finding]) -> None:
    """Raises CopyRefused with every finding in words."""
    if found:
        raise CopyRefused(_("The copy was not saved: it does not pass the store's checks."), fields={"content": " ".join(words(one) for one in found)})


def words(finding: Finding) -> str:
    """A finding as it is read beside a field: where, what, and how to mend it."""
    said = f"{finding.where}: {finding.sentence}" if finding.where else finding.sentence
    return f"{said} {finding.fix}".strip()
