"""Runs of apps are found among a member's events without reading the others

Revision: 0490
"""

from alembic import op

revision = "0490"
down_revision = "0480"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("create index event_app_runs_idx on event (member_id, at, object) where is_automated and feature = 'app' and action = 'run'")
