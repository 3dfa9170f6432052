"""Alembic's entry: one transaction a migration, one migrator at a time."""

from alembic import context
from sqlalchemy import create_engine, pool, text

import billing.document_models
import billing.hold_models
import billing.models
import billing.recognition_models
import billing.refund_models
import billing.renewal_models
import billing.top_up_models  # noqa: F401 (all models are imported so that `alembic check` sees every table)
import core.audit
import core.clock_moves
import core.outbox  # noqa: F401
import marketplace.bundle_models
import marketplace.coupon_models
import marketplace.install_models
import marketplace.lifecycle_models
import marketplace.models
import marketplace.partner_models
import marketplace.run_models
import marketplace.search_index
import marketplace.service_models  # noqa: F401
import membership.models
import membership.motions  # noqa: F401
import operations.models  # noqa: F401
from core.db import Base

_ONE_AT_A_TIME = 7_304_221


def run() -> None:
    """Bring the database of the configured URL forward."""
    engine = create_engine(context.config.attributes["url"], poolclass=pool.NullPool)
    with engine.connect() as connection:
        connection.execute(text("set lock_timeout = '10s'"))
        connection.execute(text("select pg_advisory_lock(:key)"), {"key": _ONE_AT_A_TIME})
        connection.commit()
        context.configure(connection=connection, target_metadata=Base.metadata, transaction_per_migration=True, compare_type=True)
        with context.begin_transaction():
            context.run_migrations()


run()
