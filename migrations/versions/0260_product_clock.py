"""The movable clock of a demo: how far product time runs ahead of real time

Revision: 0260, after 0210
"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0260"
down_revision = "0210"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "product_clock",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("ahead_us", sa.BigInteger(), nullable=False),
        sa.Column("moving_from", sa.DateTime(timezone=True), nullable=True),
        sa.Column("moving_to", sa.DateTime(timezone=True), nullable=True),
        sa.Column("moved_by", sa.Text(), nullable=True),
        sa.CheckConstraint("id = 1", name=op.f("product_clock_one_check")),
        sa.CheckConstraint("ahead_us >= 0", name=op.f("product_clock_forward_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("product_clock_pkey")),
    )
    op.execute((Path(__file__).parent.parent / "sql" / "0260_product_clock.sql").read_text())
