"""Alembic's entry: one transaction a migration, one migrator at a time."""

from alembic import context
from sqlalchemy import create_engine, pool, text

import billing.approval.approval_models
import billing.document.document_models
import billing.ledger.ledger_models
import billing.payment.payment_models
import billing.refund.refund_models
import billing.renewal.renewal_models
import billing.revenue.recognition_models
import billing.subscription.subscription_models
import billing.top_up.top_up_models
import billing.wallet.hold_models
import billing.wallet.wallet_models  # noqa: F401 (all models are imported so that `alembic check` sees every table)
import core.audit
import core.clock_moves
import core.outbox  # noqa: F401
import marketplace.copy.models
import marketplace.license.install_models
import marketplace.license.license_models
import marketplace.order.bundle_models
import marketplace.order.coupon_models
import marketplace.order.order_models
import marketplace.partner.partner_models
import marketplace.publisher.publisher_models
import marketplace.release.lifecycle_models
import marketplace.release.version_models
import marketplace.run.run_models
import marketplace.seat.seat_models
import marketplace.service.service_models
import marketplace.store.listing_models
import marketplace.store.review_models
import marketplace.store.search_index  # noqa: F401
import membership.catalogue_models
import membership.entity_models
import membership.models
import membership.motions
import membership.notice_models
import membership.subscription_models  # noqa: F401
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
