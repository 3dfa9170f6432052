"""A member that is taken on keeps what it was made with, so that a replay is told from another use of its id

Revision: 0475
"""

import sqlalchemy as sa
from alembic import op

revision = "0475"
down_revision = "0460"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("member", sa.Column("request_hash", sa.LargeBinary(), nullable=True))
