"""What was in the search index before its rows became narrow is in it afterwards, and follows its listings as before."""

from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from core import migrations
from core.settings import Settings
from tests.core.test_migrations import database

FILL = """
insert into legal_entity (id, name, currency, timezone, tax_rate_bp) values ('00000000-0000-0000-0000-000000000001', 'E', 'CNY', 'Asia/Shanghai', 600);
insert into publisher (id, code, name_zh, name_en, kind, is_verified, commission_bp) values (gen_random_uuid(), 'p', '伙伴', 'P', 'partner', true, 3000);
insert into product_line (code, name_zh, name_en) values ('crm', '客户', 'CRM');
insert into listing (id, slug, publisher_id, kind, category, name_zh, name_en, summary_zh, summary_en, description_zh, description_en, state, revision,
    pricing, currency, price_minor, bonus_limit_bp, is_repeatable, product_line, required_rank, required_features, minutes_saved, automates, is_quarantined,
    rating_sum, rating_count, updated_at, current_version, search)
  select gen_random_uuid(), 'l' || n, id, 'form_schema', (array['sales', 'finance'])[1 + n % 2], '表', 'Form ' || n, '', '', '', '',
    case when n % 10 = 0 then 'draft' else 'published' end, 1, case when n % 3 = 0 then 'free' else 'one_time' end, 'CNY', 100 * (n % 3), 10000, true,
    case when n % 4 > 0 then 'crm' end, n % 4, '{}', 0, '{"steps": []}', false, n % 7, n % 2, '2026-01-01', '1.0.0',
    ('''form'':1A ''w' || n || ''':2A ''text'':3D')::tsvector
  from publisher, generate_series(1, 40) n;
"""
BEFORE = """select slug, kind, category, is_free, stars, required_rank, score, i.price_minor, i.updated_at, i.listing_id, tsvector_to_array(terms)
  from listing_index i join listing_cell c on c.id = cell_id join listing_requirement q on q.id = requirement_id order by slug"""
AFTER = """select slug, kind, category, is_free, stars, required_rank, score, i.price_minor, i.updated_at, i.listing_id, tsvector_to_array(terms)
  from listing_index i join listing_shelf s on s.id = shelf_id join listing_grade g on g.id = grade_id join listing_requirement q on q.id = requirement_id
  order by slug"""


def test_the_index_is_taken_over_and_goes_on(settings: Settings) -> None:
    with database(settings, "migrate_search") as old:
        migrations.upgrade(old, "0423")
        engine = create_engine(old.migration_database_url, poolclass=NullPool)
        with engine.begin() as connection:
            connection.connection.driver_connection.execute(FILL)
            before = connection.execute(text(BEFORE)).all()
        migrations.upgrade(old)
        with engine.begin() as connection:
            assert connection.execute(text(AFTER)).all() == before
            assert len(before) == 36
            connection.execute(text("update listing set state = 'published', rating_sum = 8, rating_count = 2, price_minor = 7, pricing = 'one_time'"))
            after = connection.execute(text(AFTER)).all()
            connection.execute(text("update listing set state = 'archived' where slug <> 'l1'"))
            assert connection.scalars(text("select slug from listing_index")).all() == ["l1"]
    assert len(after) == 40
    assert {(row.stars, row.is_free, row.score, row.price_minor) for row in after} == {(4, False, 3_700, 7)}
    terms = {row.slug: row.tsvector_to_array for row in after}
    assert {row.slug: terms[row.slug] for row in before} == {row.slug: row.tsvector_to_array for row in before}
