"""what a member's own ids asked of its subscriptions, so that a replay is told from a reuse

Revision: 0130
"""

import sqlalchemy as sa
from alembic import op

revision = "0130"
down_revision = "0150"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "subscription_request",
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subscription_id", sa.Uuid(), nullable=False),
        sa.Column("request_hash", sa.LargeBinary(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["member_id", "subscription_id"], ["subscription.member_id", "subscription.id"], name=op.f("subscription_request_member_id_fkey")
        ),
        sa.PrimaryKeyConstraint("member_id", "id", name=op.f("subscription_request_pkey")),
    )
    op.execute("alter table subscription_request enable row level security")
    op.execute("alter table subscription_request force row level security")
    op.execute("create policy own_rows on subscription_request to app_member using (member_id = acting_member()) with check (member_id = acting_member())")
    op.execute("create policy all_rows on subscription_request to app_staff, app_system, ledger, current_user using (true) with check (true)")
    op.execute("grant select, insert on subscription_request to app_member, app_staff, app_system")
