-- Publishers hand in by machine, and make listings of their own: drafts that nobody but they and our staff see.
create function acting_publisher() returns uuid language sql stable parallel safe as
$$ select nullif(current_setting('app.publisher_id', true), '')::uuid $$;

alter table api_key add column publisher_id uuid;  -- of the room above, as app_user.publisher_id
alter table api_key add constraint api_key_publisher_check check ((role = 'publisher') = (publisher_id is not null));
create index api_key_publisher_id_idx on api_key (publisher_id) where publisher_id is not null;
grant select, insert on api_key to app_publisher;
grant update (revoked_at) on api_key to app_publisher;
create policy own_keys on api_key to app_publisher using (publisher_id = acting_publisher())
  with check (publisher_id = acting_publisher() and role = 'publisher' and member_id is null);

-- A publisher writes its own drafts: never what is on sale, and nothing that others decide (state, rating, quarantine, how much bonus may pay).
alter table listing enable row level security;
create policy read_all on listing for select to app_member, ledger using (true);
create policy all_rows on listing to app_staff, app_system, current_user using (true) with check (true);
create policy own_or_on_show on listing for select to app_publisher
  using (publisher_id = acting_publisher() or state in ('published', 'deprecated'));
create policy draft_own on listing for insert to app_publisher with check (
  publisher_id = acting_publisher() and state = 'draft' and current_version is null and published_at is null and not is_quarantined
  and rating_sum = 0 and rating_count = 0 and replacement_id is null);
create policy change_own_draft on listing for update to app_publisher using (publisher_id = acting_publisher() and state = 'draft')
  with check (publisher_id = acting_publisher() and state in ('draft', 'in_review'));
grant insert on listing to app_publisher;
grant update (category, name_zh, name_en, summary_zh, summary_en, description_zh, description_en, pricing, period, price_minor, is_repeatable, product_line,
  required_rank, required_features, trial_days, minutes_saved, automates, search, state, state_reason, revision, updated_at) on listing to app_publisher;

alter policy read_all on listing_version to app_member, app_staff, app_system, ledger;
create policy own_or_released on listing_version for select to app_publisher
  using (state in ('published', 'yanked') or listing_id in (select id from listing where publisher_id = acting_publisher()));

-- What a publisher earns: its part of its own orders and of what was given back of them (28 partner_pending, 41 store_revenue; 90 where the share had left).
grant select (member_id, order_id, id, amount_minor, at, undone_at) on order_refund to app_publisher;
create policy own_listings on order_refund for select to app_publisher
  using (exists (select from store_order o where o.member_id = order_refund.member_id and o.id = order_refund.order_id));
grant select (book_id, transaction_id, source, target, amount_minor) on posting to app_publisher;
create policy own_share on posting for select to app_publisher using ((source in (28, 41, 90) or target in (28, 41)) and (
  exists (select from store_order o where o.member_id = book_id and o.id = transaction_id)
  or exists (select from order_refund r where r.member_id = book_id and r.id = transaction_id)));
