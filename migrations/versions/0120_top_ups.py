"""what a top-up promises, what a bank transfer brought, and where members transfer to

Revision: 0120
"""

import sqlalchemy as sa
from alembic import op

revision = "0120"
down_revision = "0140"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("top_up", sa.Column("bonus_days", sa.BigInteger(), nullable=True))
    op.add_column("top_up", sa.Column("bank_transaction", sa.Text(), nullable=True))
    op.add_column("top_up", sa.Column("received_minor", sa.BigInteger(), nullable=True))
    op.create_index("top_up_bank_transaction_idx", "top_up", ["bank_transaction"], unique=True)
    op.create_index(op.f("top_up_id_idx"), "top_up", ["id"])
    op.create_table(
        "bank_account",
        sa.Column("entity_id", sa.Uuid(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("bank", sa.Text(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["entity_id"], ["legal_entity.id"], name=op.f("bank_account_entity_id_fkey")),
        sa.PrimaryKeyConstraint("entity_id", "currency", name=op.f("bank_account_pkey")),
    )
    op.execute("grant select on bank_account to app_member, app_staff, app_system")
    op.execute("grant insert, update on bank_account to app_staff, app_system")
