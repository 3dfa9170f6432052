-- What the reviewer said about a version that was sent back: check, file, reason and fix, in words for the publisher.
alter table listing_version add column review_note text;
alter table listing_version add column submitted_by text;
create index listing_version_in_review_idx on listing_version (created_at) where state = 'in_review';

-- A publisher submits; only staff and jobs publish. What is sold is changed by nobody else.
revoke insert, update on listing, listing_version from app_publisher;
revoke update on artifact from app_publisher;
grant insert on listing_version to app_publisher;
alter table listing_version enable row level security;
create policy read_all on listing_version for select using (true);
create policy publish on listing_version to app_staff, app_system, current_user using (true) with check (true);
create policy submit_own on listing_version for insert to app_publisher with check (
  state = 'in_review' and published_at is null and review_note is null
  and listing_id in (select id from listing where publisher_id = nullif(current_setting('app.publisher_id', true), '')::uuid));
