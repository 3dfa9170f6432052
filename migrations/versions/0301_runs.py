"""Bought apps are run in the sandbox: runs with their input, output and log

Revision: 0301, after 0244
"""

from pathlib import Path

from alembic import op

revision = "0301"
down_revision = "0244"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0301_runs.sql").read_text())
