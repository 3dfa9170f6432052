"""Receipts, invoices and credit notes; whom they are made out to

Revision: 0251, after 0241
"""

from pathlib import Path

from alembic import op

revision = "0251"
down_revision = "0241"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0251_documents.sql").read_text())
