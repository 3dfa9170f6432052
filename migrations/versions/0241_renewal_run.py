"""The renewal run as one SQL call; runs are recorded

Revision: 0241, after 0240
"""

import uuid
from pathlib import Path

from alembic import op
from sqlalchemy import text

revision = "0241"
down_revision = "0240"
branch_labels = None
depends_on = None


_NAMESPACE = uuid.UUID("6f1d9a52-0d6c-4f0e-9a0e-6d656d626572")
_UNPAID = text("select member_id, subscription_id, term from subscription_charge where state = 'unpaid'")
_ABOUT = text("update notice set details = details || jsonb_build_object('subscription_id', cast(:subscription as text)) where member_id = :member and id = :id")


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0241_renewal_run.sql").read_text())
    connection = op.get_bind()
    for member, subscription, term in connection.execute(_UNPAID).all():  # warnings that are still true say what they are about, so that payment withdraws them
        key = f"subscription_past_due:{subscription}:{term}"
        told = uuid.uuid5(_NAMESPACE, "\x1f".join(("notice", str(member), key)))
        connection.execute(_ABOUT, {"member": member, "id": told, "subscription": str(subscription)})
