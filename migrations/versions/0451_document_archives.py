"""Zips of many documents, prepared in the background

Revision: 0451
"""

from pathlib import Path

from alembic import op

revision = "0451"
down_revision = "0450"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0451_document_archives.sql").read_text())
