"""Listings and versions move by recorded steps; each check of a version leaves a record; artifacts are signed

Revision: 0300, after 0222
"""

from pathlib import Path

from alembic import op

revision = "0300"
down_revision = "0222"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0300_checked_versions.sql").read_text())
