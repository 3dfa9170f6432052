"""Installs, updates and uninstalls as events

Revision: 0352
"""

from pathlib import Path

from alembic import op

revision = "0352"
down_revision = "0343"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0352_installs.sql").read_text())
