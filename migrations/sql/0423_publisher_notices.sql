-- What a publisher should know, once each. Whoever makes it happen writes it: staff and jobs at once, a member by the outbox.
create table publisher_notice (
  publisher_id uuid not null, id uuid not null, kind text not null, details jsonb not null, at timestamptz not null, read_at timestamptz,
  constraint publisher_notice_pkey primary key (publisher_id, id)
);
create index publisher_notice_publisher_id_at_idx on publisher_notice (publisher_id, at);
alter table publisher_notice enable row level security;
alter table publisher_notice force row level security;
create policy all_rows on publisher_notice to app_staff, app_system, ledger, current_user using (true) with check (true);
create policy own_publisher on publisher_notice to app_publisher using (publisher_id = acting_publisher()) with check (publisher_id = acting_publisher());
grant select, insert, update on publisher_notice to app_staff, app_system;
grant select, update (read_at) on publisher_notice to app_publisher;
grant insert on outbox to app_publisher;  -- what it does and others should know of, such as an answer to a review
create policy publish_own on outbox for insert to app_publisher with check (member_id is null);
