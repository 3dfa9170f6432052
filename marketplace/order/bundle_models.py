"""Table of what bundles consist of."""

import uuid

from sqlalchemy import CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base


class BundlePart(Base):
    """A listing that a bundle contains."""

    __tablename__ = "bundle_part"
    bundle_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("listing.id"), primary_key=True)
    listing_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("listing.id"), primary_key=True)
    position: Mapped[int]
    __table_args__ = (CheckConstraint("bundle_id <> listing_id", name="other"),)
