"""Table of seats."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base


class LicenseSeat(Base):
    """A seat of a licence and who holds it: a person of the member, or a machine by its key. What was given back stays as it was."""

    __tablename__ = "license_seat"
    member_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    license_id: Mapped[uuid.UUID]
    user_id: Mapped[uuid.UUID | None]
    api_key_id: Mapped[uuid.UUID | None]
    assigned_at: Mapped[datetime]
    assigned_by: Mapped[uuid.UUID | None]
    released_at: Mapped[datetime | None]
    released_by: Mapped[uuid.UUID | None]
    __table_args__ = (
        ForeignKeyConstraint(["member_id", "license_id"], ["license.member_id", "license.id"], name="license_seat_license_fkey"),
        ForeignKeyConstraint(["member_id", "user_id"], ["app_user.member_id", "app_user.id"], name="license_seat_user_fkey"),
        ForeignKeyConstraint(["member_id", "api_key_id"], ["api_key.member_id", "api_key.id"], name="license_seat_api_key_fkey"),
        CheckConstraint("(user_id is null) <> (api_key_id is null)", name="holder"),
        Index("license_seat_of_user_idx", "member_id", "license_id", "user_id", unique=True, postgresql_where=text("released_at is null")),
        Index("license_seat_of_api_key_idx", "member_id", "license_id", "api_key_id", unique=True, postgresql_where=text("released_at is null")),
    )

    @property
    def holder_id(self) -> uuid.UUID:
        """The person's id, or the key's."""
        found = self.user_id or self.api_key_id
        assert found is not None
        return found
