"""The application factory: it wires the rooms together and holds no rule. Many pages are imported only to add their routes."""

from collections.abc import Callable
from typing import Any

import click
from flask import Flask
from flask_bootstrap import Bootstrap5
from flask_wtf.csrf import CSRFProtect

from billing import passage as billing_passage
from billing.approval import adjustment_pages, approval_pages
from billing.document import document_api, document_archive_jobs, document_archive_pages, document_finance_pages, document_jobs, tax_pages
from billing.document.document_pages import documents
from billing.finance import finance_api, finance_pages, statement_pages
from billing.finance.finance_blueprint import finance
from billing.ledger import cli as billing_cli
from billing.member import new_member_api, new_member_pages
from billing.payment import card_pages, stripe_events
from billing.payment.webhooks import webhooks
from billing.refund import card_refund_jobs, disputes, own_refund_pages, refund_api, refund_pages
from billing.renewal import renewal_jobs, renewal_pages
from billing.renewal.renewal_cli import renewals_cli
from billing.revenue import deferred_pages, recognition_jobs
from billing.subscription import price_pages, subscription_api, subscription_end_pages, subscription_jobs
from billing.subscription.contract_pages import blp as contracts_api
from billing.subscription.contract_pages import contract_pages
from billing.subscription.subscription_pages import subscription_pages
from billing.top_up import auto_top_up_api, auto_top_up_pages, bank_pages, top_up_jobs, top_up_offer_api, top_up_offer_pages, top_up_pages
from billing.wallet import hold_api, member_wallet_api, member_wallet_pages, wallet_api, wallet_jobs
from billing.wallet.wallet_pages import wallet
from core import (
    access,
    api_docs,
    charts,
    cli,
    clock,
    clock_api,
    clock_jobs,
    errors,
    formats,
    health,
    i18n,
    limits,
    logging,
    navigation,
    outbox,
    passage,
    schedule,
    security_headers,
)
from core.clock_cli import clock_group
from core.db import SERVER_OPTIONS, db
from core.json_answers import Json
from core.openapi import SPEC_OPTIONS, ProblemApi
from core.server import Server
from core.settings import Settings
from marketplace.checks import jobs as check_jobs
from marketplace.copy import api as copies_api
from marketplace.copy import update_pages
from marketplace.copy.pages import copy_pages
from marketplace.license import app_runs, holders, license_api, license_jobs
from marketplace.license.app_pages import apps
from marketplace.license.license_pages import licenses_pages
from marketplace.order import coupon_pages, express_orders, order_refund_pages, orders_api
from marketplace.order.order_batches import Gatherer
from marketplace.partner import claims, partner_payables
from marketplace.partner.claim_pages import claim_pages
from marketplace.partner.payout_pages import earnings
from marketplace.publisher import bundle_pages, publisher_figures_pages, publisher_notices, term_pages
from marketplace.publisher.draft_pages import publishing_pages
from marketplace.publisher.notice_pages import publisher_notice_pages
from marketplace.publisher.publisher_api import blp as publisher_api
from marketplace.publisher.publisher_pages import publisher
from marketplace.release.review_pages import review
from marketplace.release.stewardship_pages import stewardship_pages
from marketplace.run import run_jobs, runs
from marketplace.run.run_pages import run_pages
from marketplace.seat import seat_api, seats
from marketplace.seat.seat_pages import seat_pages
from marketplace.service import service_api, service_decisions
from marketplace.service.partner_service_pages import partner_services
from marketplace.service.service_pages import service_pages
from marketplace.store import buy_pages, reviews, store_api, store_pages
from marketplace.store.review_report_pages import review_reports_pages
from marketplace.store.store_cli import store_cli
from marketplace.store.store_pages import store
from membership import api_key_api, authentication, clock_pages, host_api, leaving, member_api, member_facts_pages, people_pages
from membership import cli as membership_cli
from membership.account_pages import account, notice_pages
from membership.home_pages import home
from membership.host_pages import host_pages
from membership.operator_pages import operator
from membership.password_link_pages import new_password
from membership.sign_in_pages import sign_in
from membership.team_pages import invitations, team
from operations import activity_api, csm_pages, events_api, offer_pages, offers_api, revenue_pages, run_use, time_saved
from operations import jobs as operations_jobs
from operations import passage as operations_passage
from operations.demo.cli import demo

csrf = CSRFProtect()


class Application(Flask):
    """Flask without coroutines, and with one JSON encoder instead of a new one for each answer."""

    json_provider_class = Json

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """The function itself: none of ours is a coroutine, and each request would ask it of twenty."""
        return func


def create_app(settings: Settings | None = None) -> Flask:
    """Build the application from settings (by default those of the environment)."""
    settings = settings or Settings.from_env()
    app = Application(__name__)
    app.config.update(_config(settings))
    app.extensions["settings"] = settings
    db.init_app(app)
    csrf.init_app(app)
    Bootstrap5(app)
    for part in (logging, i18n, formats, charts, navigation, security_headers, errors, clock):
        part.init_app(app)
    _register(app)
    access.verify_all(app)
    return app


def create_server() -> Server:
    """The application as the web server runs it."""
    return serve(create_app())


def serve(app: Flask) -> Server:
    """An application with its express lanes."""
    return Server(app, [express_orders.lane(app, Gatherer(app))])


def _config(settings: Settings) -> dict[str, object]:
    return {
        "SECRET_KEY": settings.secret_key,
        "SQLALCHEMY_DATABASE_URI": settings.database_url,
        "SQLALCHEMY_ENGINE_OPTIONS": {
            "pool_size": settings.threads,
            "max_overflow": 2,
            "pool_pre_ping": False,
            "pool_recycle": 1800,
            "pool_use_lifo": True,
            "connect_args": {"connect_timeout": 5, "options": SERVER_OPTIONS},  # a server that does not answer is told as one that is away
        },
        "SESSION_COOKIE_SAMESITE": "Lax",
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SECURE": settings.base_url.startswith("https://"),
        "WTF_CSRF_TIME_LIMIT": None,
        "BOOTSTRAP_SERVE_LOCAL": True,
        "MAX_CONTENT_LENGTH": 32 * 1024 * 1024,
        "API_TITLE": "Member back office",
        "API_VERSION": "v1",
        "OPENAPI_VERSION": "3.1.0",
        "OPENAPI_URL_PREFIX": "/api/v1",
        "OPENAPI_JSON_PATH": "openapi.json",
        "API_SPEC_OPTIONS": SPEC_OPTIONS,
        "RATELIMIT_STORAGE_URI": settings.redis_url,
        "RATELIMIT_STRATEGY": "fixed-window",
        "RATELIMIT_HEADERS_ENABLED": True,
        "RATELIMIT_SWALLOW_ERRORS": True,  # the queue being away must not lock people out
    }


def _register(app: Flask) -> None:
    """Every room's routes, commands, subscriptions and repeated jobs, one line each."""
    authentication.init_app(app)
    limits.init_app(app)
    cli.init_app(app)
    for pages in PAGES:
        app.register_blueprint(pages)
    csrf.exempt(webhooks)  # signed by Stripe
    api = ProblemApi(app)
    for blueprint in APIS:
        api.register_blueprint(blueprint)
        csrf.exempt(blueprint)  # the API takes bearer keys only, never the session cookie
    for command in COMMANDS:
        app.cli.add_command(command)
    store_pages.recommended_for = offer_pages.for_store
    app_runs.count = time_saved.runs_of
    if seats.release_all_of not in leaving.heard:
        leaving.heard.append(seats.release_all_of)
    for topic, subscriber in SUBSCRIPTIONS:
        outbox.subscribe(topic, subscriber)
    for event_type, listener in STRIPE_EVENTS:
        stripe_events.listen(event_type, listener)
    for seconds, job in EVERY:
        schedule.every(app, seconds, job)
    for step in STEPS:
        passage.add(app, step)


# Add a line here for what a room offers.
PAGES = [
    health.health,
    api_docs.api_docs,
    home,
    sign_in,
    account,
    notice_pages,
    team,
    invitations,
    new_password,
    operator,
    host_pages,
    webhooks,
    wallet,
    documents,
    subscription_pages,
    contract_pages,
    finance,
    store,
    apps,
    copy_pages,
    run_pages,
    seat_pages,
    publishing_pages,
    publisher_notice_pages,
    publisher,
    service_pages,
    partner_services,
    claim_pages,
    earnings,
    review,
    review_reports_pages,
    licenses_pages,
    stewardship_pages,
    offer_pages.offer_pages,
    csm_pages.csm,
]
APIS = [
    api_key_api.blp,
    member_api.blp,
    host_api.blp,
    orders_api.blp,
    order_refund_pages.blp,
    refund_api.blp,
    wallet_api.blp,
    document_api.blp,
    finance_api.blp,
    subscription_api.blp,
    contracts_api,
    events_api.blp,
    activity_api.blp,
    offers_api.blp,
    store_api.blp,
    license_api.blp,
    seat_api.blp,
    copies_api.blp,
    service_api.blp,
    publisher_api,
    coupon_pages.blp,
    revenue_pages.blp,
    clock_api.blp,
]
COMMANDS: list[click.Command] = [
    demo,
    membership_cli.api_keys_group,
    membership_cli.users_group,
    billing_cli.ledger,
    renewals_cli,
    store_cli,
    clock_group,
]
SUBSCRIPTIONS: list[tuple[str, outbox.Subscriber]] = [
    (reviews.TOPIC, reviews.recount),
    (reviews.TOPIC, publisher_notices.review_written),
    (publisher_notices.ANSWER_TOPIC, publisher_notices.review_answered),
    (publisher_notices.SERVICE_TOPIC, publisher_notices.service_stepped),
    (publisher_notices.CLAIM_TOPIC, publisher_notices.claim_stepped),
    (runs.TOPIC, run_use.record),
    (holders.TOPIC, holders.tell),
]
STRIPE_EVENTS: list[tuple[str, stripe_events.Listener]] = [
    *((event_type, card_refund_jobs.heard) for event_type in card_refund_jobs.EVENTS),
    *((event_type, disputes.heard) for event_type in disputes.EVENTS),
]
EVERY: list[tuple[int, schedule.Job]] = [  # seconds, job
    (5, outbox.deliver_waiting),
    (top_up_jobs.SWEEP_EVERY_S, top_up_jobs.process_waiting),
    (top_up_jobs.SWEEP_EVERY_S, top_up_jobs.check_pending),
    (wallet_jobs.AUTO_TOP_UP_EVERY_S, wallet_jobs.top_up_low_wallets),
    (wallet_jobs.WARN_EVERY_S, wallet_jobs.warn_of_low_balances),
    (wallet_jobs.ENDING_EVERY_S, wallet_jobs.warn_of_ending_bonus),
    (wallet_jobs.EXPIRE_HOLDS_EVERY_S, wallet_jobs.expire_holds),
    (wallet_jobs.EXPIRE_MONEY_EVERY_S, wallet_jobs.expire_money),
    (card_refund_jobs.SWEEP_EVERY_S, card_refund_jobs.check_pending),
    (60, operations_jobs.refresh_usage),
    (60, subscription_jobs.resume_paused),
    (60, renewal_jobs.renew_due_subscriptions),
    (3600, renewal_jobs.tell_members),
    (60, license_jobs.renew_due_licenses),
    (60, service_decisions.run_due_now),
    (3600, partner_payables.release_due_now),
    (300, claims.escalate_due_now),
    (60, document_jobs.issue_documents),
    (document_archive_jobs.SWEEP_EVERY_S, document_archive_jobs.sweep),
    (300, recognition_jobs.recognise_days),
    (60, check_jobs.check_waiting),
    (60, run_jobs.run_waiting),
    (86_400, run_jobs.put_away_files),
    (3600, operations_jobs.refresh_activity),
    (3600, operations_jobs.expire_offers),
    (86_400, operations_jobs.find_routines),
    (86_400, check_jobs.replay_published),
    (15, clock_jobs.go_on),
]
# What time brings about, in the order of one instant, where a demo's clock is moved (core/passage.py).
STEPS: list[passage.Step] = [
    billing_passage.NOTICES,  # asked by the day's end, so before what closes it
    billing_passage.RECOGNITION,  # a day that is over is closed before the next one begins
    billing_passage.MONEY_EXPIRES,
    service_decisions.SERVICES,  # what silence accepts is captured before its hold ends
    billing_passage.HOLDS_EXPIRE,
    billing_passage.PAUSES_END,
    billing_passage.RENEWALS,
    license_jobs.LICENSES,
    billing_passage.AUTO_TOP_UPS,  # after what empties wallets; what arrives pays what is past due
    claims.CLAIMS,
    partner_payables.SHARES,
    billing_passage.DOCUMENTS,
    operations_passage.OFFERS,
    outbox.MESSAGES,
]
