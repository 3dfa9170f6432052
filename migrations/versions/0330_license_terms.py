"""Licences with a term: recurring prices and trials

Revision: 0330
"""

from pathlib import Path

from alembic import op

revision = "0330"
down_revision = "0231"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0330_license_terms.sql").read_text())
