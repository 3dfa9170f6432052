"""Table of those who offer listings."""

import uuid

from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base


class Publisher(Base):
    """Who offers listings: the vendor's own team or a service partner. A partner has a book of the same id."""

    __tablename__ = "publisher"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(unique=True)
    name_zh: Mapped[str]
    name_en: Mapped[str]
    kind: Mapped[str]  # vendor | partner
    is_verified: Mapped[bool]
    commission_bp: Mapped[int]  # our share of a partner's net price
