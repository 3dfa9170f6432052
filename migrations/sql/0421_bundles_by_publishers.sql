-- Publishers put bundles of their own listings together: as drafts, and of nobody else's.
grant insert, delete on bundle_part to app_publisher;
grant update on bundle_part to app_staff, app_system;
alter table bundle_part enable row level security;
create policy read_all on bundle_part for select to app_member, app_publisher, ledger using (true);
create policy all_rows on bundle_part to app_staff, app_system, current_user using (true) with check (true);
create policy put_into_own_draft on bundle_part for insert to app_publisher with check (
  exists (select from listing b where b.id = bundle_id and b.publisher_id = acting_publisher() and b.kind = 'bundle' and b.state = 'draft')
  and exists (select from listing l where l.id = listing_id and l.publisher_id = acting_publisher()));
create policy take_out_of_own_draft on bundle_part for delete to app_publisher using (
  exists (select from listing b where b.id = bundle_id and b.publisher_id = acting_publisher() and b.kind = 'bundle' and b.state = 'draft'));
