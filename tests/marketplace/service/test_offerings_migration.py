"""Services that were on offer by shares of a price carry amounts afterwards, to the cent, and a version that says what they offer."""

import json

from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from core import migrations
from core.settings import Settings
from marketplace.release import bundles
from tests.core.test_migrations import database

FILL = """
insert into legal_entity (id, name, currency, timezone, tax_rate_bp) values ('00000000-0000-0000-0000-000000000001', 'E', 'CNY', 'Asia/Shanghai', 600);
insert into publisher (id, code, name_zh, name_en, kind, is_verified, commission_bp) values (gen_random_uuid(), 'p', '伙伴', 'P', 'partner', true, 3000);
insert into listing (id, slug, publisher_id, kind, category, name_zh, name_en, summary_zh, summary_en, description_zh, description_en, state, revision,
    pricing, currency, price_minor, bonus_limit_bp, is_repeatable, required_rank, required_features, minutes_saved, automates, is_quarantined, rating_sum,
    rating_count, updated_at, current_version, milestones)
  select gen_random_uuid(), 'odd', id, 'service_offering', 'sales', '服务', 'Odd', '', '', '', '', 'published', 1, 'one_time', 'CNY', 100_01, 10000, true, 0,
    '{}', 0, '{"steps": []}', false, 0, 0, '2026-01-01', '1.0.0', cast(:milestones as jsonb) from publisher;
"""
SHARES = [{"name_zh": f"第{n}步", "name_en": f"Step {n}", "share_bp": share, "days": n} for n, share in enumerate((3_333, 3_333, 3_334), 1)]


def test_shares_become_amounts_and_terms_a_version(settings: Settings) -> None:
    with database(settings, "migrate_offerings") as old:
        migrations.upgrade(old, "0370")
        engine = create_engine(old.migration_database_url, poolclass=NullPool)
        with engine.begin() as connection:
            for statement in FILL.strip().split(";\n"):
                connection.execute(text(statement.replace("100_01", "10001")), {"milestones": json.dumps(SHARES)} if ":milestones" in statement else {})
        migrations.upgrade(old)
        with engine.connect() as connection:
            listing = connection.execute(text("select * from listing")).mappings().one()
            version = connection.execute(text("select * from listing_version")).mappings().one()
            content = bytes(connection.scalar(text("select content from artifact where sha256 = :h"), {"h": version["sha256"]}))
    assert [one["amount_minor"] for one in listing["milestones"]] == [33_33, 33_33, 33_35]
    assert all(set(one) == {"name_zh", "name_en", "amount_minor", "days"} for one in listing["milestones"])
    assert (version["number"], version["state"], version["manifest"]["offer"]["milestones"]) == ("1.0.0", "published", listing["milestones"])
    manifest = version["manifest"]
    assert bundles.pack(manifest, {"manifest.json": json.dumps(manifest, sort_keys=True, ensure_ascii=False).encode()}).content == content
