"""Notices of a member or of a publisher: told once, listed and read in the same way, kept as facts that are put into words when they are read."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Generic, TypeVar

from flask_babel import gettext as _
from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert

from core import formats
from core.db import db
from core.errors import NotFound
from core.ids import derived
from membership.notice_models import Notice, PublisherNotice

Details = dict[str, Any]
Told = TypeVar("Told", Notice, PublisherNotice)


@dataclass(frozen=True)
class Mailbox(Generic[Told]):
    """The notices of one member or one publisher; the first part of their key says whose they are."""

    table: type[Told]
    owner_id: uuid.UUID

    @property
    def _owner(self) -> Any:
        return self.table.__mapper__.primary_key[0]

    def tell(self, kind: str, details: Details, *, at: datetime, key: str) -> bool:
        """Leave a notice; `False` when the same `key` was told before, which changes nothing.

        `details` carries facts, never sentences: `amount_minor`, `currency`, `name_zh`/`name_en`, dates as ISO text.
        """
        row = {self._owner.key: self.owner_id, "id": derived("notice", self.owner_id, key), "kind": kind, "details": details, "at": at, "read_at": None}
        new = insert(self.table).values(row).on_conflict_do_nothing(index_elements=[self._owner.key, "id"])
        return db.session.execute(new.returning(self.table.id)).first() is not None

    def newest(self, limit: int = 50) -> Sequence[Told]:
        """What was told, the newest first."""
        mine = select(self.table).where(self._owner == self.owner_id)
        return db.session.scalars(mine.order_by(self.table.at.desc(), self.table.id.desc()).limit(limit)).all()

    def unread(self) -> int:
        """How many nobody has read."""
        return db.session.scalar(select(func.count()).where(self._owner == self.owner_id, self.table.read_at.is_(None))) or 0

    def mark_read(self, notice_id: uuid.UUID, *, at: datetime) -> None:
        """Somebody has read it; the first time counts. Raises NotFound."""
        found = db.session.get(self.table, (self.owner_id, notice_id))
        if found is None:
            raise NotFound(_("There is no such notice."))
        found.read_at = found.read_at or at

    def mark_all_read(self, *, at: datetime) -> None:
        """Everything there is now has been read."""
        unread = update(self.table).where(self._owner == self.owner_id, self.table.read_at.is_(None), self.table.at <= at)
        db.session.execute(unread.values(read_at=at))


def of_member(member_id: uuid.UUID) -> Mailbox[Notice]:
    """A member's notices."""
    return Mailbox(Notice, member_id)


def of_publisher(publisher_id: uuid.UUID) -> Mailbox[PublisherNotice]:
    """A publisher's notices."""
    return Mailbox(PublisherNotice, publisher_id)


class Facts:
    """Details ready to print; what is missing is `--`, as everywhere."""

    def __init__(self, details: Details) -> None:
        self.details = details

    def money(self, name: str = "amount_minor") -> str:
        """An amount in the notice's currency."""
        return formats.money(self.details.get(name), str(self.details.get("currency", "CNY")))

    def name(self, name: str = "name") -> str:
        """A name in two languages (`name_zh`, `name_en`) or in one (`name`)."""
        here = self.details.get(f"{name}_{formats.language()}") or self.details.get(name) or self.details.get(f"{name}_zh")
        return str(here or formats.MISSING)

    def day(self, name: str) -> str:
        """A day, of the reader's time zone where an instant was told."""
        given = self.details.get(name)
        if not given:
            return formats.MISSING
        return formats.date(datetime.fromisoformat(given) if "T" in given or " " in given else date.fromisoformat(given))

    def text(self, name: str) -> str:
        """Anything else."""
        return str(self.details.get(name) or formats.MISSING)
