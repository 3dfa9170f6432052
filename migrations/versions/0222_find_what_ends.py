"""find the wallets in which something ends, without reading all of them

Revision: 0222
"""

from alembic import op

revision = "0222"
down_revision = "0330"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("create index wallet_next_expiry_idx on wallet (next_expiry_at) where next_expiry_at is not null")
