"""What the demo's members wrote down for their invoices."""

from datetime import timedelta

from sqlalchemy import insert, select
from sqlalchemy.orm import Session
from stdnum.cn import uscc

from billing.document.document_models import BillingDetails
from membership.models import User
from operations.demo.cast import Cast

STREETS = (
    "上海市浦东新区世纪大道 1777 号",
    "杭州市西湖区文三路 121 号",
    "深圳市南山区科技园南区 8 栋",
    "成都市高新区天府大道 688 号",
    "北京市海淀区中关村东路 18 号",
)


def write(session: Session, people: list[Cast]) -> None:
    """Title, tax number and address of most members; every fifth wants one invoice a month, every seventh has written nothing."""
    owners = {user.id: user.name for user in session.scalars(select(User).where(User.id.in_([one.owner_id for one in people])))}
    rows = []
    for n, one in enumerate(people):
        if n % 7 == 6:
            continue
        stem = f"9131{n % 90 + 10:02d}00MA{n:07d}"
        rows.append({
            "member_id": one.id, "version": 1, "title": one.company.name, "tax_number": stem + uscc.calc_check_digit(stem), "country": "CN",
            "address": f"{STREETS[n % len(STREETS)]} {n % 30 + 1} 楼", "phone": None, "email": f"invoices@{one.number.lower()}.example", "language": "zh",
            "invoice_grouping": "month" if n % 5 == 4 else None, "order_number": f"PO-{n + 100}" if n % 3 == 0 else None,
            "cost_centre": "CC-4100 销售运营" if n % 4 == 0 else None, "set_at": one.joined_at + timedelta(hours=1), "set_by": one.owner_id,
            "set_by_name": owners[one.owner_id] if one.owner_id else "",
        })  # fmt: skip
    session.execute(insert(BillingDetails), rows)
