"""Partners at work in the demo world: services on offer, orders in every state, claims, and a payout."""

import uuid
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta

from sqlalchemy import select

from billing.document import document_jobs
from core.actor import SYSTEM, Actor
from core.db import transaction
from core.errors import AppError
from core.ids import derived
from marketplace.checks import jobs as check_jobs
from marketplace.partner import claims, partner_payables, payouts
from marketplace.publisher import drafts, term_changes
from marketplace.publisher.publisher_models import Publisher
from marketplace.release import submissions, term_sheets
from marketplace.service import service_decisions, service_offerings, services
from marketplace.service.service_models import ServiceMilestone
from marketplace.service.service_offerings import Offering, Step
from marketplace.store import reviews
from marketplace.store.listing_models import Listing
from marketplace.store.review_models import Review
from membership.models import User
from operations.demo.cast import CURRENCY, Cast

DAY = timedelta(days=1)
ROLLOUT, MIGRATION, TRAINING = "crm-rollout-service", "data-migration-service", "team-training-service"
OFFERINGS = {
    "harbor-automation": [
        Offering(
            ROLLOUT, "onboarding", "客户云上线实施", "CRM rollout", "从调研到培训，四周内让销售团队用起来。",
            "From survey to training: your sales team live in four weeks.",
            "顾问先访谈销售负责人与一线销售，梳理线索到回款的流程，再配置线索、商机与公海规则、报表和权限，并在上线前培训团队。"
            "适合 5 至 50 人的销售团队。每一步交付后由您验收。",
            "A consultant talks to your sales lead and to those who sell, sets up leads, opportunities, pool rules, reports and rights, "
            "and trains the team before you go live. For teams of 5 to 50. You accept each step.",
            CURRENCY, (Step("流程调研", "Survey", 960_00, 7), Step("系统配置", "Setup", 2_400_00, 20), Step("团队培训", "Training", 1_440_00, 28)),
        ),
        Offering(
            TRAINING, "onboarding", "团队进阶培训", "Advanced training", "半天实操，学会用自动化减少重复劳动。",
            "Half a day of practice: let automation do what repeats.",
            "讲师按您的行业和现有流程准备三个案例，线上授课半天并录制回放，附图文操作手册。"
            "适合已经用了一个月以上、想让自动化替代重复操作的团队，最多 20 人一班。",
            "Three cases of your own trade and way of working, taught online for half a day and recorded, with an illustrated handbook. "
            "For teams that have worked with the product for a month; up to 20 people a class.",
            CURRENCY, (Step("案例准备", "Preparation", 480_00, 7), Step("授课与手册", "Course and handbook", 720_00, 14)),
        ),
    ],
    "yunqi-services": [
        Offering(
            MIGRATION, "integration", "历史数据迁移", "Data migration", "从旧系统搬家：清洗、去重、导入、核对。",
            "Moving from your old system: clean, merge, import, reconcile.",
            "工程师先整理旧系统的字段并给出映射表与抽样结果，您确认后清洗、去重、全量导入，再逐表核对数量与金额，差异逐条说明。"
            "适合从表格或其他客户系统搬家的团队。",
            "An engineer maps the fields of your old system and shows a sample first; after your word everything is cleaned, merged and imported, "
            "and then reconciled table by table, each difference explained.",
            CURRENCY, (Step("映射与抽样", "Mapping and sample", 1_440_00, 10), Step("全量导入与核对", "Import and reconciliation", 2_160_00, 21)),
        ),
    ],
}  # fmt: skip
DRAFT = {
    "slug": "pipeline-review-service", "category": "sales", "name_zh": "销售管道诊断", "name_en": "Pipeline review",
    "summary_zh": "两周看清商机卡在哪一步。", "summary_en": "In two weeks you see where deals get stuck.",
    "description_zh": "顾问读取近半年的商机与跟进记录，访谈三位销售，找出停滞最久的阶段和原因。", "description_en": "",
    "milestones": [
        {"name_zh": "访谈与数据整理", "name_en": "Interviews and data", "amount_minor": 1_200_00, "days": 7},
        {"name_zh": "诊断报告", "name_en": "Report", "amount_minor": 1_680_00, "days": 14},
    ],
}  # fmt: skip
BUNDLE = {
    "slug": "import-set", "category": "integration", "name_zh": "数据导入套装", "name_en": "Import set",
    "summary_zh": "外部客户导入与订单拆分，一次买齐更省。", "summary_en": "Import of foreign CRM data and splitting of orders, cheaper together.",
    "description_zh": "适合从其他客户系统搬家、又要把订单按区域分给团队的公司：先用外部导入脚本把客户和联系人整理进来，"
    "再用订单拆分脚本每天按区域派单。各应用分别授权、更新和退款。",
    "description_en": "For companies that move from another CRM and hand orders to regional teams: the import brings customers and contacts in, "
    "the split deals out the orders every day. Each is licensed, updated and given back by itself.",
    "price_minor": 1_098_00, "parts": ["foreign-crm-import", "order-split-by-region"],
}  # fmt: skip
RATINGS = [(5, "按期交付，清单清楚，验收省心。"), (3, "内容扎实，但区域报表的部分讲得太快。"), (4, "顾问熟悉我们这一行，沟通顺畅。")]
NOTES = {1: "成果已上传到项目空间，附检查清单。", 2: "配置完成，测试账号与操作说明见附件。", 3: "培训已完成，回放链接见邮件。"}


def play(people: Sequence[Cast], since: datetime, until: datetime) -> None:
    """Offerings from the year's start; orders of the last weeks; then what became due is paid to one partner and prepared for the other."""
    with transaction(SYSTEM) as session:
        for code, offered in OFFERINGS.items():
            publisher = session.scalars(select(Publisher).where(Publisher.code == code)).one()
            for offering in offered:
                service_offerings.publish(offering, publisher, at=since)
    stories = [
        (ROLLOUT, 16, _disputed), (MIGRATION, 30, _completed), (ROLLOUT, 9, _delivered), (MIGRATION, 18, _cancelled), (TRAINING, 75, _lapsed),
        (TRAINING, 20, _completed), (ROLLOUT, 1, _ordered),
    ]  # fmt: skip
    buyers = [people[0], people[0], *people[1:]]
    for (slug, days, tell), one in zip(stories, buyers, strict=False):
        try:
            tell(one, _place(one, slug, until - days * DAY), until - days * DAY, until)
        except AppError:
            continue  # its wallet holds too little, as happens in life
    _rate(people, until)
    _proposals(until)
    _claims(until)
    document_jobs.issue_all(until)
    partner_payables.release_due(until)
    _pay_out(until)


def _proposals(until: datetime) -> None:
    """What a partner has in hand: a service that is still a draft, and other terms of one on sale, which wait for a reviewer."""
    harbor = derived("publisher", "harbor-automation")
    seller = Actor(kind="publisher", role="publisher", name="海港 · 徐磊", user_id=derived("demo", "user", "publisher@demo.example"), publisher_id=harbor)
    with transaction(seller) as session:
        term_changes.begin_service(harbor, DRAFT, at=until - 3 * DAY)
        training = session.scalars(select(Listing).where(Listing.slug == TRAINING)).one()
        steps = [asdict(step) for step in (*OFFERINGS["harbor-automation"][1].steps, Step("四周后复训", "Refresher after four weeks", 480_00, 42))]
        said = {name: getattr(training, name) for name in term_sheets.WORDS} | {"milestones": steps}
        notes = ("增加一次复训，价格相应调整。", "A refresher is added, and the price with it.")
        version = term_changes.keep(harbor, TRAINING, said, notes, seller.name, at=until - timedelta(hours=20))
        assert version is not None
    check_jobs.check_version(str(version.listing_id), version.number)
    with transaction(seller):
        bundle = term_changes.begin_bundle(harbor, BUNDLE, at=until - 16 * DAY)
        drafts.submit(harbor, bundle.slug, at=until - 15 * DAY)
    check_jobs.check_version(str(bundle.id), "1.0.0")
    reviewer = Actor(kind="staff", role="reviewer", name="郭静", user_id=derived("demo", "user", "reviewer@demo.example"))
    with transaction(reviewer):
        submissions.approve(bundle.slug, "1.0.0", at=until - 14 * DAY)


def _me(one: Cast) -> Actor:
    return Actor(kind="member", role="owner", member_id=one.id, user_id=one.owner_id)


def _place(one: Cast, slug: str, at: datetime) -> uuid.UUID:
    with transaction(_me(one)) as session:
        price = session.scalars(select(Listing.price_minor).where(Listing.slug == slug)).one()
        wanted = services.Wanted(derived("demo", "service", one.number, slug), price, "我们有 12 名销售，希望月底前上线。")
        return services.place(one.id, slug, wanted, at=at, placed_by=one.owner_id).id


def _deliver(one: Cast, order_id: uuid.UUID, position: int, at: datetime) -> None:
    with transaction(SYSTEM):
        services.deliver(one.id, order_id, position, NOTES[position], at=at)


def _accept(one: Cast, order_id: uuid.UUID, position: int, at: datetime) -> None:
    with transaction(_me(one)):
        services.accept(one.id, order_id, position, at=at)


def _ordered(_one: Cast, _order_id: uuid.UUID, _at: datetime, _until: datetime) -> None:
    """Nothing has been delivered yet."""


def _delivered(one: Cast, order_id: uuid.UUID, at: datetime, until: datetime) -> None:
    _deliver(one, order_id, 1, max(at + 6 * DAY, until - 3 * DAY))


def _disputed(one: Cast, order_id: uuid.UUID, at: datetime, until: datetime) -> None:
    _deliver(one, order_id, 1, at + 5 * DAY)
    _accept(one, order_id, 1, until - 2 * DAY)
    _deliver(one, order_id, 2, at + 13 * DAY)
    with transaction(_me(one)):
        services.dispute(one.id, order_id, 2, "公海回收规则没有按我们确认的 30 天配置，报表也缺少区域维度。", at=until - DAY)


def _completed(one: Cast, order_id: uuid.UUID, at: datetime, until: datetime) -> None:
    for position, after in ((1, 6), (2, 18)):
        _deliver(one, order_id, position, at + after * DAY)
        _accept(one, order_id, position, min(at + (after + 1) * DAY, until))


def _rate(people: Sequence[Cast], until: datetime) -> None:
    """Those who accepted something say what they think of it; the partner answers one of them."""
    names = {one.id: (one.company.name, one.owner_id) for one in people}
    with transaction(SYSTEM) as session:
        paid = select(ServiceMilestone.member_id, ServiceMilestone.order_id).where(ServiceMilestone.charge_id.is_not(None)).distinct()
        orders = session.execute(paid.order_by(ServiceMilestone.member_id, ServiceMilestone.order_id)).all()
    for n, (member_id, order_id) in enumerate(orders):
        stars, said = RATINGS[n % len(RATINGS)]
        with transaction(Actor(kind="member", role="owner", member_id=member_id, user_id=names[member_id][1])):
            reviews.write_of_order(services.show(member_id, order_id), stars, said, names[member_id][0], at=until - timedelta(hours=9 + n))
    with transaction(SYSTEM) as session:
        reviews.recount_all()
        rated = session.execute(
            select(Review, Listing)
            .join(Listing, Listing.id == Review.listing_id)
            .where(Review.order_id.is_not(None), Review.stars < 5)
            .order_by(Review.member_id, Review.listing_id)  # the same one in each world
        )
        for review, listing in rated.all()[:1]:
            reviews.answer(listing, review.id, "谢谢指正，培训资料已补充区域报表的做法，并加了一次答疑。", at=until)


def _cancelled(one: Cast, order_id: uuid.UUID, at: datetime, _until: datetime) -> None:
    _deliver(one, order_id, 1, at + 12 * DAY)  # later than promised
    _accept(one, order_id, 1, at + 13 * DAY)
    with transaction(_me(one)):
        services.cancel(one.id, order_id, "抽样结果可用，其余数据我们自己导入。", at=at + 14 * DAY)


def _lapsed(_one: Cast, _order_id: uuid.UUID, _at: datetime, until: datetime) -> None:
    service_decisions.run_due(until - 14 * DAY)


def _claims(until: datetime) -> None:
    """The latest milestones paid: one claim waits for its publisher, one was agreed to."""
    with transaction(SYSTEM) as session:
        paid = session.execute(
            select(ServiceMilestone).where(ServiceMilestone.charge_id.is_not(None), ServiceMilestone.closed_at > until - 7 * DAY)
            .order_by(ServiceMilestone.closed_at.desc(), ServiceMilestone.order_id)
        ).scalars().all()[:2]  # fmt: skip
    for n, one in enumerate(paid):
        assert one.charge_id
        with transaction(SYSTEM):
            wanted = claims.Wanted(derived("demo", "claim", one.charge_id), one.captured_minor // (n + 3), "检查清单中有几项没有完成，申请退还这一部分。")
            claim = claims.file(one.member_id, one.charge_id, wanted, at=until - timedelta(hours=5), filed_by=None)
            if n:
                seller = Actor(kind="publisher", role="publisher", name="海港 · 徐磊", user_id=derived("demo", "user", "seller"))
                claims.accept(one.member_id, claim.id, claim.amount_minor, "keep", "同意退还未完成部分。", seller, at=until - timedelta(hours=1))


def _pay_out(until: datetime) -> None:
    with transaction(SYSTEM) as session:
        clerk = session.scalars(select(User).where(User.email == "finance@demo.example")).one()
        partners = session.scalars(select(Publisher).where(Publisher.kind == "partner").order_by(Publisher.code)).all()
    first = Actor(kind="staff", role="finance", name=clerk.name, user_id=clerk.id)
    second = Actor(kind="staff", role="finance", name="陈立", user_id=derived("demo", "user", "second-finance"))
    for n, one in enumerate(partners):
        try:
            with transaction(SYSTEM):
                made = payouts.prepare(one.id, second if n else first, at=until)
                if n == 0 and made.state == "prepared":
                    payouts.pay(made.id, f"OUT-{until:%Y%m%d}-01", second, at=until)
        except payouts.NothingToPay:
            continue  # a small world: this partner has sold nothing yet
