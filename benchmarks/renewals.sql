-- A world of :n members, each with one subscription: :each of them are due at :at, as many an hour later, and so on. Written down as the product would have
-- left it: wallets with a paid grant, every second one with a bonus and its lot, every twentieth empty. `flask ledger verify` must find nothing. Run as the schema's owner.
insert into legal_entity (id, name, currency, timezone, tax_rate_bp) values (md5('entity')::uuid, 'Benchmark', 'CNY', 'Asia/Shanghai', 600);
insert into book values (md5('entity')::uuid, 'house', md5('entity')::uuid);
insert into product_line values ('crm', '玉衡', 'Jade');
insert into edition select 'crm', r, 'e' || r, '版' || r, 'Edition ' || r, '{}', '{}' from generate_series(1, 4) r;
insert into edition_price select 'crm', r, 'CNY', p.period, timestamptz '2020-01-01 00:00+08', r * 10000 * p.times, r * 1000 * p.times
  from generate_series(1, 4) r, (values ('month', 1), ('quarter', 3), ('year', 10)) p(period, times);

create temp table made as
  select g, (lpad(to_hex(1760000000000 + g * 37), 12, '0') || '7' || substr(md5('m' || g), 1, 3) || '8' || substr(md5('m' || g), 4, 15))::uuid as member,
    (lpad(to_hex(1760000000500 + g * 37), 12, '0') || '7' || substr(md5('s' || g), 1, 3) || '8' || substr(md5('s' || g), 4, 15))::uuid as subscription,
    md5('credit' || g)::uuid as credit, case when g % 20 = 0 then 0 else 5000000 end as paid, case when g % 2 = 1 then 100000 else 0 end as bonus,
    1 + g % 4 as rank, 1 + g % 9 as seats, cast(:'at' as timestamptz) + (g - 1) / :each * interval '1 hour' as due
  from generate_series(1, :n) g;
insert into member (id, entity_id, number, name, industry, size, sales_cycle, channel, currency, state, created_at)
  select member, md5('entity')::uuid, 'M' || g, 'Member ' || g, 'retail', 'small', 'short', 'direct', 'CNY', 'active', due - interval '1 year' from made;
insert into book select member, 'member', md5('entity')::uuid from made;
insert into wallet (member_id, currency, paid_minor, bonus_minor, held_minor, state, last_seq, last_effective_at)
  select member, 'CNY', paid, bonus, 0, 'open', (paid > 0)::int, due - interval '31 days' from made;
insert into ledger_transaction (book_id, id, kind, currency, seq, effective_at, recorded_at, request_hash, amount_minor, paid_after_minor, bonus_after_minor)
  select member, credit, 'opening_balance', 'CNY', 1, due - interval '31 days', due - interval '31 days', sha256(''), paid + bonus, paid, bonus from made where paid > 0;
insert into lot (member_id, id, currency, face_minor, discount_minor, spent_minor, expired_minor, earned_minor)
  select member, credit, 'CNY', paid + bonus, bonus, 0, 0, 0 from made where bonus > 0;
insert into wallet_grant (member_id, id, currency, lot_id, kind, granted_minor, remaining_minor, held_minor, priority, granted_at, expires_at, is_open)
  select member, credit, 'CNY', case when bonus > 0 then credit end, 'paid', paid, paid, 0, 0, due - interval '31 days', null::timestamptz, true from made where paid > 0
  union all
  select member, md5('bonus:' || credit)::uuid, 'CNY', credit, 'bonus', bonus, bonus, 0, 0, due - interval '31 days', null, true from made where bonus > 0;
insert into posting (book_id, transaction_id, n, source, target, amount_minor, grant_id)
  select member, credit, 1, 10, 20, paid, credit from made where paid > 0
  union all
  select member, credit, 2, 22, 21, bonus, md5('bonus:' || credit)::uuid from made where bonus > 0;
insert into subscription (member_id, id, product_line, rank, period, currency, seats, state, term, anchor_day, started_at, term_start, term_end, term_price_minor,
    cancel_at_term_end, deployment, licensing, next_attempt_at, failed_attempts)
  select member, subscription, 'crm', rank, 'month', 'CNY', seats, 'active', 1, extract(day from due at time zone 'Asia/Shanghai'), due - interval '31 days',
    due - interval '31 days', due, rank * 10000 + seats * rank * 1000, false, 'saas', 'rental', due, 0 from made;
insert into subscription_motion (member_id, id, subscription_id, motion, at, amount_minor, currency, term, rank, seats, arr_before_minor, arr_after_minor)
  select member, md5('motion' || g)::uuid, subscription, 'new', due - interval '31 days', 0, 'CNY', 1, rank, seats, 0, 12 * (rank * 10000 + seats * rank * 1000) from made;
vacuum analyze member, book, wallet, ledger_transaction, lot, wallet_grant, posting, subscription, subscription_motion, subscription_charge, notice, edition_price;
checkpoint;  -- a server that runs writes over old WAL files; else both sides would be measured while they make new ones
