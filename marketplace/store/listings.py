"""Listings as people see them: the words of kinds and categories, version order, and who may see what."""

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from flask_babel import gettext as _
from sqlalchemy import select
from sqlalchemy.orm import defer

from core.db import db
from core.errors import NotFound
from marketplace.publisher.publisher_models import Publisher
from marketplace.release.version_models import ListingVersion
from marketplace.store import compatibility
from marketplace.store.listing_models import Listing
from membership.entitlements import Standing, Verdict

Words = dict[str, str]


def _words(zh: str, en: str) -> Words:
    return {"name_zh": zh, "name_en": en}


KINDS: dict[str, Words] = {
    "robot_task": _words("机器人脚本", "Robot task"),
    "form_schema": _words("表单", "Form"),
    "document_template": _words("文档模板", "Document template"),
    "text_template": _words("消息模板", "Message template"),
    "spreadsheet_template": _words("表格模板", "Spreadsheet template"),
    "data_mapping": _words("数据映射", "Data mapping"),
    "usage_pack": _words("用量包", "Usage pack"),
    "service_offering": _words("服务", "Service"),
    "bundle": _words("套装", "Bundle"),
}
CATEGORIES: dict[str, Words] = {
    "data_quality": _words("数据质量", "Data quality"),
    "sales": _words("销售", "Sales"),
    "finance": _words("财务", "Finance"),
    "service": _words("服务", "Service"),
    "onboarding": _words("客户启用", "Onboarding"),
    "reporting": _words("报表", "Reporting"),
    "inventory": _words("库存", "Inventory"),
    "integration": _words("系统集成", "Integration"),
    "usage": _words("用量", "Usage"),
}
RESOURCES: dict[str, Words] = {
    "contact": _words("联系人与客户", "contacts and customers"),
    "lead": _words("线索", "leads"),
    "opportunity": _words("商机", "opportunities"),
    "order": _words("订单", "orders"),
    "invoice": _words("发票", "invoices"),
    "message": _words("消息", "messages"),
    "calendar": _words("日历", "calendars"),
    "import": _words("数据导入", "data imports"),
    "report": _words("报表", "reports"),
    "joint_follow_up": _words("联合跟进", "joint follow-ups"),
    "public_pool": _words("公海池", "the public pool"),
    "stock": _words("库存", "stock"),
}
VERBS: dict[str, Words] = {"read": _words("读取", "Reads"), "write": _words("修改", "Changes"), "send": _words("发送", "Sends")}
ON_SHOW = ("published", "deprecated")  # a deprecated listing is found by its address, not by search
_VERSION = re.compile(r"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)")


@dataclass(frozen=True, slots=True)
class Shown:
    """A listing with who offers it and whether a member may use it (`None`: nobody in particular asks)."""

    listing: Listing
    publisher: Publisher
    verdict: Verdict | None

    @property
    def is_usable(self) -> bool:
        """Nothing keeps the asking member from using it."""
        return self.verdict is None or self.verdict.allowed


def version_key(number: str) -> tuple[int, ...]:
    """How versions are ordered: 1.10.0 is newer than 1.9.0. Raises ValueError for what is no version."""
    found = _VERSION.fullmatch(number)
    if found is None:
        raise ValueError(number)
    return tuple(int(part) for part in found.groups())


def is_newer(number: str | None, than: str | None) -> bool:
    """Is `number` a later version than `than`? Nothing is newer than nothing."""
    if number is None or than is None:
        return False
    return version_key(number) > version_key(than)


def find_on_show(slug: str, standing: Standing | None = None) -> Shown:
    """The listing at this address. Raises NotFound for drafts, for what is archived, and for what never was."""
    row = db.session.execute(
        select(Listing, Publisher)
        .join(Publisher, Publisher.id == Listing.publisher_id)
        .where(Listing.slug == slug, Listing.state.in_(ON_SHOW), Listing.current_version.is_not(None))
        .options(defer(Listing.search))
    ).one_or_none()
    if row is None:
        raise NotFound(_("There is no such listing in the store."))
    return Shown(row[0], row[1], compatibility.judge(row[0], standing))


def replacement_of(listing: Listing) -> Listing | None:
    """What a deprecated listing points its readers to."""
    return db.session.get(Listing, listing.replacement_id, options=[defer(Listing.search)]) if listing.replacement_id else None


def public_versions(listing_id: uuid.UUID) -> Sequence[ListingVersion]:
    """Released versions, newest first; withdrawn ones with their reason."""
    rows = db.session.scalars(select(ListingVersion).where(ListingVersion.listing_id == listing_id, ListingVersion.state.in_(("published", "yanked")))).all()
    return sorted(rows, key=lambda row: version_key(row.number), reverse=True)


def permission(code: str) -> Words:
    """A permission (`contact:read`) as a sentence in both languages."""
    resource, _colon, verb = code.partition(":")
    what, does = RESOURCES.get(resource, _words(resource, resource.replace("_", " "))), VERBS.get(verb, _words(verb, verb))
    return _words(f"{does['name_zh']}{what['name_zh']}", f"{does['name_en']} {what['name_en']}")
