"""Who is in the demo world: the vendor's staff, its partners, its members and their users."""

import random
import uuid
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import insert
from sqlalchemy.orm import Session

from billing.top_up.top_up_models import BankAccount
from billing.wallet import wallets
from core.ids import derived
from marketplace.publisher import publishers
from marketplace.publisher.publisher_models import Publisher
from membership.entity_models import LegalEntity
from membership.models import Member, User
from membership.passwords import hash_password
from operations.demo.people import Company, companies, person

PASSWORD = "jade-demo-2026"  # noqa: S105 (printed at every start of the demo; never made outside it)
ENTITY = derived("demo", "entity")
CURRENCY = "CNY"
PUBLISHERS = [
    ("vendor", "玉衡客户成功团队", "Jade Balance Customer Success", "vendor", 0),
    ("harbor-automation", "海港自动化", "Harbor Automation", "partner", 3_000),
    ("yunqi-services", "云栖数字服务", "Yunqi Digital Services", "partner", 2_500),
]
STAFF = [
    ("finance", "finance@demo.example", "周敏"), ("csm", "csm@demo.example", "林晓雯"), ("csm", "csm2@demo.example", "马浩然"),
    ("csm", "csm3@demo.example", "何佳怡"), ("reviewer", "reviewer@demo.example", "郭静"), ("operator", "operator@demo.example", "孙伟"),
]  # fmt: skip


@dataclass(slots=True)
class Cast:
    """One member of the demo world with what its story needs."""

    id: uuid.UUID
    number: str
    company: Company
    csm_id: uuid.UUID
    csm_name: str
    joined_at: datetime
    users: list[tuple[uuid.UUID, str]] = field(default_factory=list)  # id, name in events
    owner_id: uuid.UUID | None = None


def hire(session: Session, at: datetime) -> tuple[list[tuple[uuid.UUID, str]], dict[str, Publisher]]:
    """The legal entity, publishers and staff; returns the CSMs' ids and names, and the publishers by code."""
    session.add(
        LegalEntity(
            id=ENTITY,
            name="玉衡软件（杭州）有限公司",
            currency=CURRENCY,
            timezone="Asia/Shanghai",
            tax_rate_bp=600,
            name_en="Jade Balance Software (Hangzhou) Co., Ltd.",
            tax_number="91330106MA2ABCDE1G",
            address_zh="浙江省杭州市西湖区文三路 478 号华星时代广场 A 座 12 楼",
            address_en="12/F, Tower A, Huaxing Times Plaza, 478 Wensan Road, Hangzhou 310013, China",
            phone="0571-8888 0000",
            email="finance@demo.example",
        )
    )
    session.flush()
    wallets.open_book(ENTITY, "house", ENTITY, CURRENCY, at)
    password = hash_password(PASSWORD)
    session.add(
        BankAccount(
            entity_id=ENTITY, currency=CURRENCY, holder="玉衡软件（杭州）有限公司", bank="招商银行杭州分行", number="5719 0001 2345 678", code="308331012345"
        )
    )
    sellers = {
        code: publishers.ensure(code, zh, en, kind, commission, entity_id=ENTITY, currency=CURRENCY, at=at) for code, zh, en, kind, commission in PUBLISHERS
    }
    people = [_user(role, email, name, password, at) for role, email, name in STAFF]
    people.append(_user("publisher", "publisher@demo.example", "海港 · 徐磊", password, at, publisher_id=derived("publisher", "harbor-automation")))
    session.execute(insert(User), people)
    return [(person["id"], person["name"]) for person in people if person["role"] == "csm"], sellers


def join(session: Session, rng: random.Random, count: int, csms: list[tuple[uuid.UUID, str]], since: datetime, until: datetime) -> list[Cast]:
    """`count` members with users, books and empty wallets. A third of them were there when the year began."""
    password = hash_password(PASSWORD)
    cast, members, users = [], [], []
    for i, drawn in enumerate(companies(rng, count)):
        company = drawn if i else replace(drawn, size="medium", seats=9)  # the demo logins' own company, large enough to show something
        joined = since if rng.random() < 0.35 or i == 0 else since + (until - since) * rng.random() * 0.9
        one = Cast(derived("demo", "member", i), f"M{i + 1:05d}", company, *csms[i % len(csms)], joined)
        cast.append(one)
        members.append(
            {
                "id": one.id,
                "entity_id": ENTITY,
                "number": one.number,
                "name": company.name,
                "name_en": company.name_en,
                "industry": company.industry,
                "size": company.size,
                "sales_cycle": company.sales_cycle,
                "channel": company.channel,
                "currency": CURRENCY,
                "state": "active",
                "csm_id": one.csm_id,
                "created_at": joined,
            }
        )
        users += _users_of(rng, one, i, password)
    session.execute(insert(Member), members)
    session.execute(insert(User), users)
    for one in cast:
        wallets.open_book(one.id, "member", ENTITY, CURRENCY, one.joined_at - timedelta(hours=1))
    return cast


def _users_of(rng: random.Random, one: Cast, index: int, password: str) -> list[dict[str, Any]]:
    rows = []
    for n in range(one.company.seats):
        name, latin = person(rng)
        role = "owner" if n == 0 else "buyer" if n == 1 else "viewer"
        email = f"{role}@demo.example" if index == 0 and n < 3 else f"{latin}.{n}@{one.number.lower()}.example"  # the first member's are the demo logins
        row = _user(role, email, name, password if n < 3 else None, one.joined_at, member_id=one.id, external_ref=f"{one.number.lower()}-{n}")
        rows.append(row)
        one.users.append((row["id"], row["external_ref"]))
    one.owner_id = rows[0]["id"]
    return rows


def _user(role: str, email: str, name: str, password: str | None, at: datetime, **more: Any) -> dict[str, Any]:
    return {
        "id": derived("demo", "user", email),
        "email": email,
        "name": name,
        "role": role,
        "password_hash": password,
        "member_id": None,
        "publisher_id": None,
        "locale": None,
        "external_ref": None,
        "seat_subscription_id": None,
        "created_at": at,
        "disabled_at": None,
        **more,
    }
