"""Who is acting now: a person at a page, a machine with a key, or a job."""

import uuid
from dataclasses import dataclass

from flask import g, has_request_context

MEMBER_ROLES = ("owner", "buyer", "viewer")
STAFF_ROLES = ("finance", "csm", "reviewer", "operator")
PUBLISHER_ROLES = ("publisher",)
ROLES = MEMBER_ROLES + STAFF_ROLES + PUBLISHER_ROLES


@dataclass(frozen=True, slots=True)
class Actor:
    """One acting party. `member_id` is set exactly for people and machines of a member."""

    kind: str  # anonymous | member | staff | publisher | system
    role: str
    name: str = ""
    user_id: uuid.UUID | None = None
    member_id: uuid.UUID | None = None
    publisher_id: uuid.UUID | None = None
    api_key_id: uuid.UUID | None = None
    session_id: uuid.UUID | None = None
    locale: str | None = None
    has_own_host: bool = False  # the member runs another version of a product than the current release, so more is to be judged at a purchase

    @property
    def database_role(self) -> str:
        """The PostgreSQL role its transactions run under; row-level security hangs on it."""
        return {"member": "app_member", "staff": "app_staff", "publisher": "app_publisher"}.get(self.kind, "app_system")

    @property
    def is_signed_in(self) -> bool:
        """Anybody but the anonymous."""
        return self.kind != "anonymous"

    @property
    def member(self) -> uuid.UUID:
        """The acting member's id, where a route admits members only."""
        assert self.member_id is not None, "only members act here"
        return self.member_id

    @property
    def publisher(self) -> uuid.UUID:
        """The acting publisher's id, where a route admits publishers only."""
        assert self.publisher_id is not None, "only publishers act here"
        return self.publisher_id


ANONYMOUS = Actor(kind="anonymous", role="anonymous")
SYSTEM = Actor(kind="system", role="system", name="system")


def kind_of(role: str) -> str:
    """The kind of actor a user's role makes."""
    if role in MEMBER_ROLES:
        return "member"
    return "publisher" if role in PUBLISHER_ROLES else "staff"


def actor() -> Actor:
    """The actor of this request; `SYSTEM` outside one."""
    if not has_request_context():
        return SYSTEM
    return g.get("actor", ANONYMOUS)  # type: ignore[no-any-return]


def set_actor(acting: Actor) -> None:
    """Say who acts in this request; called by authentication alone."""
    g.actor = acting
