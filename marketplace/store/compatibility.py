"""May a member have this? Edition, features, product line and host version, judged in one place: in search, at purchase and trial, at install and update."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from core.errors import AppError
from core.navigation import url_if
from marketplace.release.version_models import ListingVersion
from marketplace.store.listing_models import Listing
from membership import entitlements
from membership.entitlements import Standing, Verdict


class Needs(Protocol):
    """What something asks of whoever has it: a listing, a purchase's terms, a requirement of the search index, or a version."""

    @property
    def product_line(self) -> str | None:
        """None: any will do."""

    @property
    def required_rank(self) -> int:
        """Of the edition; 0 asks for none."""

    @property
    def required_features(self) -> Sequence[str]:
        """Of the edition."""

    @property
    def host_version(self) -> str | None:
        """A specifier such as `>=3.2,<4`; None: any will do."""


@dataclass(frozen=True, slots=True)
class Required:
    """Needs by themselves."""

    product_line: str | None
    required_rank: int
    required_features: Sequence[str]
    host_version: str | None = None


class Incompatible(AppError):
    """The member can't have this as things stand; the sentence says why, `verdict` what would do."""

    status, code = 403, "incompatible"

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(entitlements.sentence(verdict))
        self.extra = {"needed_line": verdict.needed_line, "needed_rank": verdict.needed_rank}
        if verdict.is_about_host:
            self.extra = {"needed_line": verdict.needed_line, "needed_version": verdict.needed_version, "version": verdict.version}
        self.verdict = verdict


class EditionTooLow(Incompatible):
    """The member's edition does not admit it; the reason names the edition that would."""

    code = "edition_too_low"


class HostUnfit(Incompatible):
    """It does not work with the version that the member's host runs."""

    code = "host_version_unfit"


def judge(needs: Needs, standing: Standing | None) -> Verdict | None:
    """Whether a member of this standing may have it; `None` without a member."""
    if standing is None:
        return None
    return entitlements.verdict(standing, needs.product_line, needs.required_rank, list(needs.required_features), needs.host_version)


def obstacle(needs: Needs, standing: Standing | None) -> Verdict | None:
    """What keeps a member of this standing from having it; `None` where nothing does, and without a member."""
    verdict = judge(needs, standing)
    return None if verdict is None or verdict.allowed else verdict


def check(member_id: uuid.UUID, needs: Needs) -> None:
    """Raises EditionTooLow, HostUnfit. Asks the database only where something is needed."""
    if needs.required_rank or needs.required_features or needs.host_version is not None:
        refuse(judge(needs, entitlements.standing_of(member_id)))


def refuse(verdict: Verdict | None) -> None:
    """Raises what a verdict stands for, unless it allows."""
    if verdict is not None and not verdict.allowed:
        raise (HostUnfit if verdict.is_about_host else EditionTooLow)(verdict)


def of_version(listing: Listing, version: ListingVersion) -> Required:
    """What one version of a listing asks: the host versions are its own, the rest are the listing's terms."""
    return Required(listing.product_line, listing.required_rank, listing.required_features, version.manifest.get("host_version"))


def of_edition(listing: Listing) -> Required:
    """What a listing asks of the edition alone: to go on with what is installed, no other host is needed."""
    return Required(listing.product_line, listing.required_rank, listing.required_features)


def help_url(verdict: Verdict | None) -> str | None:
    """Where what is missing can be had: the edition, or a word on which versions there are."""
    if verdict is None or verdict.allowed:
        return None
    if verdict.is_about_host:
        return url_if("hosts.list_hosts")
    if verdict.needed_rank is None:
        return None
    return url_if("subscriptions.show_subscriptions", line=verdict.needed_line, rank=verdict.needed_rank)
