"""What the demo vendor sells: two product lines of four editions each, top-up offers, and who works there."""

from datetime import datetime

from sqlalchemy.orm import Session

from billing.top_up.top_up_models import TopUpOffer, TopUpTier
from core.ids import derived
from membership.catalogue_models import Edition, EditionPrice, ProductLine

LINES = {"crm": ("客户云", "Customer Cloud", "1.6"), "ops": ("运营云", "Operations Cloud", "1.4")}  # names and the current release
EDITIONS = [  # rank, code, names, monthly base and seat price in 分
    (1, "starter", "入门版", "Starter", 199_00, 39_00), (2, "standard", "标准版", "Standard", 499_00, 69_00),
    (3, "professional", "专业版", "Professional", 1_299_00, 99_00), (4, "flagship", "旗舰版", "Flagship", 2_999_00, 149_00),
]  # fmt: skip
FEATURES = {
    "crm": {
        1: ["lead", "contact", "calendar", "message"],
        2: ["opportunity", "public_pool", "import"],
        3: ["joint_follow_up", "report"],
        4: ["api", "sandbox"],
    },
    "ops": {1: ["order", "contact", "calendar", "message"], 2: ["invoice", "import"], 3: ["report", "automation"], 4: ["api", "sandbox"]},
}
LIMITS = {
    1: {"records": 5_000, "api_calls_per_day": 500}, 2: {"records": 50_000, "api_calls_per_day": 5_000},
    3: {"records": 500_000, "api_calls_per_day": 50_000}, 4: {"records": 5_000_000, "api_calls_per_day": 500_000},
}  # fmt: skip
MONTHS_PAID = {"month": (1, 1), "quarter": (57, 20), "year": (10, 1)}  # a quarter costs 2.85 months, a year ten
TOP_UP_OFFERS = [(1_000_00, 50_00), (5_000_00, 400_00), (20_000_00, 2_000_00)]
BONUS_DAYS = 365
PERPETUAL = {"once": 350, "maintenance": 70}  # a licence for good and a year of its maintenance, in per cent of a year's rent


def sell(session: Session, since: datetime, currency: str) -> None:
    """Put product lines, editions, prices and top-up offers in force from `since` on."""
    for line, (zh, en, release) in LINES.items():
        session.add(ProductLine(code=line, name_zh=zh, name_en=en, release=release))
        session.flush()
        for rank, code, name_zh, name_en, base, seat in EDITIONS:
            session.add(Edition(product_line=line, rank=rank, code=code, name_zh=name_zh, name_en=name_en, features=FEATURES[line][rank], limits=LIMITS[rank]))
            session.flush()
            for period, (times, per) in MONTHS_PAID.items():
                session.add(
                    EditionPrice(
                        product_line=line,
                        rank=rank,
                        currency=currency,
                        period=period,
                        valid_from=since,
                        base_minor=base * times // per,
                        seat_minor=seat * times // per,
                    )
                )
            for period, years_percent in PERPETUAL.items():
                year, times = MONTHS_PAID["year"][0], years_percent
                price = EditionPrice(
                    product_line=line, rank=rank, currency=currency, period=period, valid_from=since, base_minor=base * year * times // 100,
                    seat_minor=seat * year * times // 100,
                )  # fmt: skip
                session.add(price)
    offer_id = derived("demo", "top-up-offer")
    session.add(
        TopUpOffer(
            id=offer_id, name_zh="充得多送得多", name_en="The more you charge, the more you get", currency=currency, bonus_days=BONUS_DAYS, priority=0,
            first_only=False, starts_at=since, ends_at=None, created_by=None, created_at=since,
        )
    )  # fmt: skip
    session.flush()
    session.add_all(TopUpTier(offer_id=offer_id, from_minor=from_minor, bonus_minor=bonus_minor) for from_minor, bonus_minor in TOP_UP_OFFERS)
