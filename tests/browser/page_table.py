"""Every page of the product: who looks at it, and at which address in the demo world.

A page that is added without a row here fails `test_pages.py::test_every_page_is_in_the_table`.
"""

from __future__ import annotations

from dataclasses import dataclass

from playwright.sync_api import Browser

from tests.browser.world import World


@dataclass(frozen=True)
class Page:
    """One page: `{names}` in the path are filled from `places`."""

    endpoint: str
    role: str  # "-": nobody is signed in
    path: str

    @property
    def name(self) -> str:
        return f"{self.role.strip('-') or 'anyone'}-{self.path.partition('?')[0].strip('/').replace('/', '-') or 'home'}"


PAGES = [
    Page("home.show_home", "-", "/"),
    Page("sign_in.show_sign_in", "-", "/sign-in"),
    Page("api_docs.show_api", "-", "/api-docs"),
    Page("invitations.show_acceptance", "-", "{invitation}"),
    Page("new_password.show_form", "-", "{new_password}"),
    Page("store.home", "owner", "/store"),
    Page("store.home", "owner", "/store?q=mail"),
    Page("store.home", "viewer", "/store?q=zzzzzz"),
    Page("store.show_listing", "owner", "/store/quote-document"),
    Page("store.show_listing", "owner", "/store/legacy-orders-mapping"),
    Page("store.show_listing", "buyer", "/store/usage-pack"),
    Page("store.buy", "owner", "/store/overdue-invoice-reminders/buy"),
    Page("store.show_order", "owner", "/orders/{order}"),
    Page("apps.list_apps", "owner", "/apps"),
    Page("services.list_partners", "owner", "/partners"),
    Page("services.show_partner", "owner", "/partners/harbor-automation"),
    Page("services.list_services", "owner", "/services"),
    Page("services.order", "owner", "/store/crm-rollout-service/order"),
    Page("services.show_service", "owner", "/services/{service}"),
    Page("services.dispute", "owner", "/services/{service}/milestones/2/dispute"),
    Page("services.cancel", "owner", "/services/{service}/cancellation"),
    Page("partner_services.list_services", "publisher", "/publisher/services"),
    Page("partner_services.show_service", "publisher", "/publisher/services/{member}/{service}"),
    Page("partner_services.deliver", "publisher", "/publisher/services/{member}/{service}/milestones/3/delivery"),
    Page("partner_services.cancel", "publisher", "/publisher/services/{member}/{service}/cancellation"),
    Page("claims.new_claim", "owner", "/orders/{milestone_order}/claim"),
    Page("claims.list_claims", "owner", "/claims"),
    Page("claims.show_claim", "owner", "/claims/{claim}"),
    Page("claims.list_publisher_claims", "publisher", "/publisher/claims"),
    Page("claims.answer", "publisher", "/publisher/claims/{claim_member}/{own_claim}"),
    Page("claims.list_all_claims", "finance", "/finance/claims"),
    Page("claims.decide", "finance", "/finance/claims/{claim_member}/{own_claim}"),
    Page("finance.list_payouts", "finance", "/finance/payouts"),
    Page("finance.show_payout", "finance", "/finance/payouts/{payout}"),
    Page("earnings.show_earnings", "publisher", "/publisher/earnings"),
    Page("earnings.show_statement", "publisher", "/publisher/earnings/{payout}"),
    Page("partner_services.list_disputes", "reviewer", "/services/disputes"),
    Page("partner_services.decide", "finance", "/services/disputes/{member}/{service}/2"),
    Page("apps.show_app", "owner", "/apps/{license}"),
    Page("apps.show_app", "owner", "/apps/{seat_license}"),
    Page("apps.show_app", "viewer", "/apps/{seat_license}"),
    Page("seats.more", "owner", "/apps/{seat_license}/seats/more?seats=2"),
    Page("copies.show_copy", "owner", "/apps/{edited_license}/copy"),
    Page("copies.show_copy", "viewer", "/apps/{robot_license}/copy"),
    Page("copies.show_file", "owner", "/apps/{edited_license}/copy/file?path=mail.txt.j2"),
    Page("copies.show_file", "owner", "/apps/{robot_license}/copy/file?path=task.robot"),
    Page("copies.show_update", "owner", "/apps/{edited_license}/update"),
    Page("apps.show_app", "owner", "/apps/{edited_license}"),
    Page("hosts.list_hosts", "owner", "/host-versions"),
    Page("hosts.show_member", "operator", "/members/{member}/host-versions"),
    Page("hosts.list_releases", "operator", "/operator/releases"),
    Page("store.show_listing", "owner", "/store/{unfit_listing}"),
    Page("runs.new_run", "owner", "/apps/{robot_license}/runs"),
    Page("runs.show_run", "owner", "/apps/runs/{run}"),
    Page("wallet.show_wallet", "owner", "/wallet"),
    Page("wallet.show_wallet", "viewer", "/wallet"),
    Page("wallet.new_top_up", "owner", "/wallet/top-ups/new?amount_minor=100000"),
    Page("wallet.show_top_up", "owner", "/wallet/top-ups/{top_up}"),
    Page("wallet.show_top_up", "owner", "/wallet/top-ups/{pending}"),
    Page("wallet.show_auto_top_up", "owner", "/wallet/auto-top-up"),
    Page("wallet.show_auto_top_up", "owner", "/wallet/auto-top-up?threshold=200&amount=1000&cap=3000&card={card}"),
    Page("wallet.show_auto_top_up", "viewer", "/wallet/auto-top-up"),
    Page("wallet.new_refund", "owner", "/wallet/top-ups/{top_up}/refund"),
    Page("wallet.list_cards", "owner", "/wallet/cards"),
    Page("wallet.remove_card", "owner", "/wallet/cards/{card}/removal"),
    Page("wallet.show_statement", "owner", "/wallet/statement"),
    Page("documents.list_documents", "owner", "/documents"),
    Page("documents.list_documents", "viewer", "/documents?kind=credit_note"),
    Page("documents.show_document", "owner", "/documents/{invoice}"),
    Page("documents.show_billing_details", "owner", "/billing-details"),
    Page("documents.show_billing_details", "viewer", "/billing-details"),
    Page("subscriptions.show_subscriptions", "owner", "/subscriptions"),
    Page("subscriptions.show_editions", "owner", "/subscriptions/editions?line=ops"),
    Page("subscriptions.preview_start", "owner", "/subscriptions/new?product_line=ops&rank=2&period=month&seats=3"),
    Page("subscriptions.show_change", "owner", "/subscriptions/{subscription}/editions"),
    Page("subscriptions.preview_change", "owner", "/subscriptions/{subscription}/preview?rank=3"),
    Page("subscriptions.preview_change", "owner", "/subscriptions/{subscription}/preview?seats=1&effective=now"),
    Page("subscriptions.preview_change", "owner", "/subscriptions/{subscription}/preview?period=month&effective=term_end"),
    Page("subscriptions.confirm_cancellation", "owner", "/subscriptions/{subscription}/cancellation"),
    Page("contracts.new_contract", "csm", "/contracts/{member}/new"),
    Page("subscriptions.show_pause", "owner", "/subscriptions/{subscription}/pause"),
    Page("subscriptions.show_commitment", "owner", "/subscriptions/{subscription}/commitment"),
    Page("team.list_users", "owner", "/team"),
    Page("team.list_users", "buyer", "/team"),
    Page("team.show_user", "owner", "/team/users/{user}"),
    Page("team.show_invitation", "owner", "/team/users/{invited}/invitation"),
    Page("offers.list_offers", "owner", "/offers/"),
    Page("notices.list_notices", "owner", "/notices"),
    Page("account.show_settings", "owner", "/account"),
    Page("account.list_sessions", "owner", "/account/sessions"),
    Page("finance.prepaid_balances", "finance", "/finance/prepaid-balances"),
    Page("finance.prepaid_balances", "finance", "/finance/prepaid-balances?q=M00001"),
    Page("finance.list_top_ups", "finance", "/finance/top-ups"),
    Page("finance.show_top_up", "finance", "/finance/top-ups/{member}/{pending}"),
    Page("finance.list_top_up_offers", "finance", "/finance/top-up-offers"),
    Page("finance.new_top_up_offer", "finance", "/finance/top-up-offers/new"),
    Page("finance.show_top_up_offer", "finance", "/finance/top-up-offers/{top_up_offer}"),
    Page("finance.list_coupons", "finance", "/finance/coupons"),
    Page("finance.new_coupon", "finance", "/finance/coupons/new"),
    Page("finance.show_coupon", "finance", "/finance/coupons/{coupon}"),
    Page("finance.renewals", "finance", "/finance/renewals?days=90"),
    Page("finance.renewals", "finance", "/finance/renewals?show=short"),
    Page("finance.past_due_renewals", "finance", "/finance/renewals/past-due"),
    Page("finance.parked_renewals", "finance", "/finance/renewals/parked"),
    Page("finance.renewal_runs", "finance", "/finance/renewals/runs"),
    Page("finance.show_renewal_run", "finance", "/finance/renewals/runs/{renewal_run}"),
    Page("finance.dry_run_renewals", "finance", "/finance/renewals/dry-run?run=1"),
    Page("finance.list_prices", "finance", "/finance/prices"),
    Page("finance.new_price", "finance", "/finance/prices/new"),
    Page("finance.new_price", "finance", "/finance/prices/new?edition=crm/2&period=month&base=9999&seat=99&valid_from=2100-01-01"),
    Page("finance.statement_index", "finance", "/finance/statements"),
    Page("finance.show_member_wallet", "finance", "/finance/members/{member}/wallet"),
    Page("finance.show_statement", "finance", "/finance/members/{member}/statement"),
    Page("finance.show_deferred_revenue", "finance", "/finance/deferred-revenue"),
    Page("finance.ledger", "finance", "/finance/ledger"),
    Page("finance.ledger_accounts", "finance", "/finance/ledger/accounts"),
    Page("finance.list_documents", "finance", "/finance/documents"),
    Page("finance.list_documents", "finance", "/finance/documents?q=zzzzzz"),
    Page("finance.show_document", "finance", "/finance/documents/{member}/{invoice}"),
    Page("finance.list_document_archives", "finance", "/finance/documents/zips"),
    Page("finance.show_document_archive", "finance", "/finance/documents/zips/{archive}"),
    Page("finance.show_document_archive", "finance", "/finance/documents/zips/{failed_archive}"),
    Page("finance.show_legal_entities", "finance", "/finance/legal-entities"),
    Page("finance.list_approvals", "finance", "/finance/approvals"),
    Page("finance.list_approvals", "finance", "/finance/approvals?state="),
    Page("finance.show_approval", "finance", "/finance/approvals/{proposal}"),
    Page("finance.list_refunds", "finance", "/finance/refunds"),
    Page("finance.new_refund", "finance", "/finance/top-ups/{member}/{top_up}/refund"),
    Page("finance.list_disputes", "finance", "/finance/disputes"),
    Page("finance.show_entry", "finance", "/finance/entries/{member}/{top_up}"),
    Page("finance.new_adjustment", "finance", "/finance/members/{member}/adjustments/new"),
    Page("finance.new_adjustment", "finance", "/finance/members/{member}/adjustments/new?kind=adjustment"),
    Page("finance.new_order_refund", "finance", "/finance/orders/{member}/{order}/refund"),
    Page("csm.worklist", "csm", "/csm/"),
    Page("csm.list_members", "csm", "/csm/members"),
    Page("csm.list_members", "csm", "/csm/members?q=zzzzzz"),
    Page("csm.show_member", "csm", "/csm/members/{member}"),
    Page("csm.show_member", "csm", "/csm/members/{toiling}"),
    Page("csm.new_offer", "csm", "/csm/members/{member}/offers/new?listing=meeting-minutes"),
    Page("csm.list_offers", "csm", "/csm/offers"),
    Page("csm.revenue", "csm", "/csm/revenue"),
    Page("review.queue", "reviewer", "/review"),
    Page("review.show_version", "reviewer", "/review/quote-document/{version}"),
    Page("review_reports.report", "owner", "/store/quote-document/reviews/{review}/report"),
    Page("review_reports.list_reports", "reviewer", "/review/reports"),
    Page("review_reports.decide", "reviewer", "/review/reports/quote-document/{review}"),
    Page("stewardship.list_listings", "reviewer", "/review/listings"),
    Page("stewardship.show_listing", "reviewer", "/review/listings/quote-document"),
    Page("publisher.list_listings", "publisher", "/publisher"),
    Page("publisher.show_listing", "publisher", "/publisher/{own_listing}"),
    Page("publisher.show_version", "publisher", "/publisher/{own_listing}/versions/{own_version}"),
    Page("publishing.new_listing", "publisher", "/publisher/new"),
    Page("publishing.edit_listing", "publisher", "/publisher/draft-of-the-pages/draft"),
    Page("publishing.new_service", "publisher", "/publisher/new/service"),
    Page("publishing.edit_service", "publisher", "/publisher/pipeline-review-service/service"),
    Page("publisher.show_listing", "publisher", "/publisher/pipeline-review-service"),
    Page("publisher.show_version", "publisher", "/publisher/team-training-service/versions/1.1.0"),
    Page("review.show_version", "reviewer", "/review/team-training-service/1.1.0"),
    Page("store.show_listing", "owner", "/store/team-training-service"),
    Page("publishing.new_bundle", "publisher", "/publisher/new/bundle"),
    Page("publishing.edit_bundle", "publisher", "/publisher/import-set/bundle"),
    Page("publisher.show_listing", "publisher", "/publisher/import-set"),
    Page("store.show_listing", "owner", "/store/import-set"),
    Page("store.buy", "owner", "/store/sales-starter/buy"),
    Page("finance.list_bundles", "finance", "/finance/bundles"),
    Page("finance.new_vendor_bundle", "finance", "/finance/bundles/new"),
    Page("finance.edit_vendor_bundle", "finance", "/finance/bundles/sales-starter"),
    Page("publisher.show_listing", "publisher", "/publisher/draft-of-the-pages"),
    Page("publishing.show_figures", "publisher", "/publisher/figures"),
    Page("publishing.show_figures", "publisher", "/publisher/figures?listing={own_listing}"),
    Page("publishing.list_keys", "publisher", "/publisher/keys"),
    Page("publisher_notices.list_notices", "publisher", "/publisher/notices"),
    Page("operator.list_members", "operator", "/operator/members"),
    Page("operator.new_member", "operator", "/operator/members/new"),
    Page("operator.show_member", "operator", "/operator/members/{member}"),
    Page("operator.edit_facts", "operator", "/operator/members/{member}/facts"),
    Page("operator.list_people", "operator", "/operator/people"),
    Page("operator.list_people", "operator", "/operator/people?q=zzzzzz"),
    Page("operator.show_person", "operator", "/operator/people/{user}"),
    Page("operator.show_invitation", "operator", "/operator/people/{invited}/invitation"),
    Page("operator.list_api_keys", "operator", "/operator/api-keys"),
    Page("operator.list_audit", "operator", "/operator/audit"),
    Page("operator.status", "operator", "/operator/status"),
    Page("operator.show_clock", "operator", "/operator/clock"),
]
NO_PAGE = {
    "static": "a file",
    "bootstrap.static": "a file",
    "health.show_health": "one word for machines",
    "health.show_readiness": "JSON for machines",
    "apps.download": "a file",
    "copies.download_file": "a file",
    "copies.download_step": "a file",
    "copies.download_side": "a file",
    "review.download": "a file",
    "publishing.export_figures": "a file",
    "publisher.show_progress": "JSON that a version's page asks for",
    "runs.show_progress": "JSON that a run's page asks for",
    "runs.download": "a file",
    "csm.revenue_csv": "a file",
    "finance.export_prepaid_balances": "a file",
    "finance.export_deferred_revenue": "a file",
    "finance.export_statement": "a file",
    "finance.export_renewals": "a file",
    "finance.export_payout": "a file",
    "earnings.export_statement": "a file",
    "finance.export_dry_run": "a file",
    "wallet.export_own_statement": "a file",
    "documents.download": "a file",
    "documents.download_selected": "a file",
    "documents.show_document_of": "leads to the document",
    "finance.name_vendor": "leads on where we have a name; an empty vendor sees it at /finance/bundles/new",
    "finance.export_documents": "a file",
    "finance.download_documents": "a file",
    "finance.download_document": "a file",
    "finance.download_document_archive": "a file",
    "finance.show_archive_progress": "JSON that the page of a zip asks for",
    "wallet.show_top_up_status": "JSON that the receipt asks for",
    "operator.show_clock_progress": "JSON that the page of the clock asks for",
    "wallet.new_card": "asks Stripe for a set-up each time; test_top_ups_browser and test_loop look at it",
}
EMPTY_PATHS = [
    "/store",
    "/apps",
    "/wallet",
    "/wallet/cards",
    "/wallet/auto-top-up",
    "/wallet/top-ups/new",
    "/wallet/statement",
    "/documents",
    "/billing-details",
    "/subscriptions",
    "/team",
    "/offers/",
    "/notices",
    "/services",
    "/claims",
    "/partners",
    "/host-versions",
]
STAFF_PATHS = {
    "finance": [
        "/finance/prepaid-balances",
        "/finance/top-ups",
        "/finance/top-up-offers",
        "/finance/bundles",
        "/finance/bundles/new",
        "/finance/renewals",
        "/finance/renewals/past-due",
        "/finance/renewals/parked",
        "/finance/renewals/runs",
        "/finance/renewals/dry-run?run=1",
        "/finance/prices",
        "/finance/statements",
        "/finance/deferred-revenue",
        "/finance/ledger",
        "/finance/ledger/accounts",
        "/finance/documents",
        "/finance/documents/zips",
        "/finance/legal-entities",
        "/finance/claims",
        "/finance/payouts",
        "/services/disputes",
    ],
    "csm": ["/csm/", "/csm/members", "/csm/offers", "/csm/revenue"],
    "reviewer": ["/review", "/review/reports", "/review/listings"],
    "publisher": ["/publisher", "/publisher/services", "/publisher/claims", "/publisher/earnings", "/publisher/notices"],
    "operator": [
        "/operator/members",
        "/operator/members/new",
        "/operator/people",
        "/operator/api-keys",
        "/operator/audit",
        "/operator/status",
        "/operator/clock",
        "/operator/releases",
    ],
}
HARBOR = "(select id from publisher where code = 'harbor-automation')"
MEMBER = "(select id from member where number = 'M00001')"


def places(world: World, chromium: Browser) -> dict[str, str]:
    """The ids and addresses that the table names; makes the few things that the demo world has none of."""
    invited = world.sql(f"select id from app_user where member_id = {MEMBER} and password_hash is null and email = 'new@demo.example'")
    if not invited:
        with world.visit(chromium, "owner") as context:
            page = context.new_page()
            page.goto("/team?lang=en")
            page.get_by_label("Full name").fill("周新")
            page.get_by_label("E-mail").fill("new@demo.example")
            page.get_by_role("button", name="Make an invitation link").click()
            page.goto("/wallet/top-ups/new?amount_minor=1000000&source=bank_transfer&lang=en")
            page.get_by_label("Bank transfer").check()
            page.get_by_role("button", name="Top up", exact=True).click()
            page.wait_for_url("**/wallet/top-ups/*")
    world.sql(
        "insert into approval (id, request_hash, kind, member_id, currency, amount_minor, reason_code, reason, details, needs_second, state, proposed_by,"
        " proposed_name, proposed_role, proposed_at) select md5('proposal of the pages')::uuid, '', 'goodwill', id, currency, 200000, 'service_failure',"
        " '6 月 3 日服务中断两小时', '{\"days\": 90}', true, 'proposed', gen_random_uuid(), '周会计', 'finance', clock_timestamp()"
        " from member where number = 'M00001'"
        " on conflict do nothing"
    )
    card = "gen_random_uuid(), 'pm_pages', 'visa', '4242', 12, 2031, true, clock_timestamp()"
    world.sql(
        f"insert into payment_method (member_id, id, stripe_id, brand, last4, exp_month, exp_year, is_default, created_at)"
        f" select id, {card} from member where number = 'M00001' and not exists (select from payment_method where member_id = member.id and removed_at is null)"
    )
    world.sql(
        "insert into review_report (member_id, id, listing_id, author_id, review_id, reason, note, at)"
        f" select {MEMBER}, gen_random_uuid(), listing_id, member_id, id, 'advertising', '', clock_timestamp() from review"
        f" where listing_id = (select id from listing where slug = 'quote-document') and member_id <> {MEMBER}"
        " order by member_id limit 1 on conflict do nothing"
    )
    world.sql(
        "insert into run (member_id, id, request_hash, license_id, listing_id, version, sha256, kind, state, parameters, requested_by_name, steps, log,"
        " took_ms, queued_at, started_at, finished_at) select l.member_id, md5('run of the pages')::uuid, '', l.id, l.listing_id, l.version, v.sha256, x.kind,"
        " 'succeeded', '{\"TEAM\": \"王芳;李强\"}', '王芳', 12, 'Read Table  (line 15)', 420, clock_timestamp(), clock_timestamp(), clock_timestamp()"
        " from license l join listing x on x.id = l.listing_id join listing_version v on v.listing_id = l.listing_id and v.number = l.version"
        f" where l.member_id = {MEMBER} and x.kind = 'robot_task' order by l.id limit 1 on conflict do nothing"
    )
    world.sql(
        "insert into run_file select member_id, id, d, 0, d || '.csv', 4, 'a,b' from run, unnest(array['input', 'output']) d"
        " where id = md5('run of the pages')::uuid on conflict do nothing"
    )
    world.sql(
        "insert into listing (id, slug, publisher_id, kind, category, name_zh, name_en, summary_zh, summary_en, description_zh, description_en, state,"
        " revision, pricing, currency, price_minor, bonus_limit_bp, is_repeatable, required_rank, required_features, minutes_saved, automates, is_quarantined,"
        " rating_sum, rating_count, updated_at) select md5('draft of the pages')::uuid, 'draft-of-the-pages', id, 'robot_task', 'sales', '草稿', 'A draft',"
        " '', '', '', '', 'draft', 1, 'free', 'CNY', 0, 0, false, 0, '{}', 5, '{\"steps\": [[\"contact\", \"merge\"]]}', false, 0, 0, clock_timestamp()"
        " from publisher where code = 'harbor-automation' on conflict do nothing"
    )
    world.sql(
        "insert into document_archive (id, currency, kind, until, words, month, state, total, done, parts, size_bytes, failure, failed_number, asked_by_name,"
        " asked_at, losses, finished_at, expires_at) select md5(s || ' zip of the pages')::uuid, 'CNY', '', clock_timestamp(), '', '2026-06', s, 1234, 1234, 7,"
        " case s when 'ready' then 56789012 end, case s when 'failed' then 'document' end, case s when 'failed' then 'INV-2026-000123' end, '周会计',"
        " clock_timestamp(), 0, clock_timestamp(), clock_timestamp() + interval '3 days' from unnest(array['ready', 'failed']) s on conflict do nothing"
    )
    world.sql("update listing set host_version = '>=2.0,<3.0' where slug = 'shop-leads-mapping'")  # for a release that nobody runs yet
    with world.visit(chromium, "owner") as context:
        page = context.new_page()
        page.goto(f"/team/users/{world.one('select id from app_user where email = ' + repr('new@demo.example'))}/invitation")
        link = page.locator("#f-link").input_value()
        page.goto(f"/team/users/{world.one('select id from app_user where email = ' + repr('viewer@demo.example'))}?lang=en")
        page.get_by_role("button", name="Make a link for a new password").click()
        new_password = page.locator("#f-link").input_value()
    queries = {
        "member": f"select {MEMBER}",
        "toiling": "select member_id from license group by 1 order by count(*) desc, 1 limit 1",
        "order": f"select id from store_order where member_id = {MEMBER} and state = 'completed' and kind = 'purchase' order by id limit 1",
        "service": f"select id from service_order where member_id = {MEMBER} and listing_id = (select id from listing where slug = 'crm-rollout-service')",
        "milestone_order": f"select charge_id from service_milestone where member_id = {MEMBER} and charge_id is not null order by closed_at desc limit 1",
        "claim": f"select id from refund_claim where member_id = {MEMBER} order by id limit 1",
        "own_claim": f"select id from refund_claim where publisher_id = {HARBOR} order by id limit 1",
        "claim_member": f"select member_id from refund_claim where publisher_id = {HARBOR} order by id limit 1",
        "payout": f"select id from payout where publisher_id = {HARBOR} order by until limit 1",
        "license": f"select id from license where member_id = {MEMBER} and state = 'active' order by id limit 1",
        "seat_license": f"select id from license where member_id = {MEMBER} and seats is not null and state = 'active' order by id limit 1",
        "top_up": f"select id from top_up where member_id = {MEMBER} and state = 'settled' order by created_at limit 1",
        "invoice": f"select id from document where member_id = {MEMBER} and kind = 'invoice' order by n limit 1",
        "archive": "select id from document_archive where state = 'ready' limit 1",
        "failed_archive": "select id from document_archive where state = 'failed' limit 1",
        "pending": f"select id from top_up where member_id = {MEMBER} and state = 'pending' order by created_at limit 1",
        "renewal_run": "select id from renewal_run order by started_at desc, id limit 1",
        "top_up_offer": "select id from top_up_offer order by created_at limit 1",
        "coupon": "select id from coupon order by created_at limit 1",
        "card": f"select id from payment_method where member_id = {MEMBER} and removed_at is null limit 1",
        "subscription": f"select id from subscription where member_id = {MEMBER} and state = 'active' limit 1",
        "user": "select id from app_user where email = 'viewer@demo.example'",
        "invited": "select id from app_user where email = 'new@demo.example'",
        "version": "select v.number from listing_version v join listing l on l.id = v.listing_id where l.slug = 'quote-document' limit 1",
        "review": "select review_id from review_report where decision is null order by at limit 1",
        "proposal": "select id from approval where state = 'proposed' limit 1",
        "run": "select md5('run of the pages')::uuid",
        "edited_license": f"select license_id from copy_step where member_id = {MEMBER} order by n limit 1",
        "unfit_listing": "select slug from listing where host_version like '>=2%' order by slug limit 1",
        "robot_license": "select license_id from run where id = md5('run of the pages')::uuid",
        "own_version": "select v.number from listing_version v join listing l on l.id = v.listing_id join publisher p on p.id = l.publisher_id"
        " where p.code = 'harbor-automation' and l.kind <> 'service_offering' and l.current_version is not null order by l.slug limit 1",
        "own_listing": "select l.slug from listing l join publisher p on p.id = l.publisher_id where p.code = 'harbor-automation'"
        " and l.kind <> 'service_offering' and l.current_version is not null order by l.slug limit 1",
    }
    links = {"invitation": "/invitations/" + link.rpartition("/")[2], "new_password": "/new-password/" + new_password.rpartition("/")[2]}
    return {name: str(world.one(query)) for name, query in queries.items()} | links
