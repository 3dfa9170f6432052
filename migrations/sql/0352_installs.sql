-- Installs, updates and uninstalls: each an event of its own with version and content hash, never changed. `license.installed_version` follows from the last.
create table install_event (
  member_id uuid not null, id uuid not null, license_id uuid not null, listing_id uuid not null, kind text not null, version text not null,
  sha256 text not null, user_id uuid, at timestamptz not null,
  constraint install_event_pkey primary key (member_id, id),
  constraint install_event_license_fkey foreign key (member_id, license_id) references license (member_id, id),
  constraint install_event_kind_check check (kind in ('install', 'update', 'uninstall'))
);
create index install_event_license_idx on install_event (member_id, license_id, at);
create index install_event_listing_idx on install_event (listing_id, at);

-- What was downloaded so far: the first download of a licence installed it, each other version updated it.
insert into install_event (member_id, id, license_id, listing_id, kind, version, sha256, user_id, at)
  select d.member_id, d.id, d.license_id, d.listing_id, case when d.before is null then 'install' else 'update' end, d.version, d.sha256, d.user_id, d.at
  from (select x.*, lag(x.version) over (partition by x.member_id, x.license_id order by x.at, x.id) as before from download x) d
  where d.before is distinct from d.version;

alter table install_event enable row level security;
alter table install_event force row level security;
create policy own_rows on install_event to app_member using (member_id = acting_member()) with check (member_id = acting_member());
create policy all_rows on install_event to app_staff, app_system, ledger, current_user using (true) with check (true);
grant select, insert on install_event to app_member, app_system;
grant select on install_event to app_staff;
-- A publisher sees how often its listings are put in and taken out, not by whom.
grant select (listing_id, kind, version, at) on install_event to app_publisher;
create policy own_listings on install_event for select to app_publisher using (listing_id in
  (select id from listing where publisher_id = nullif(current_setting('app.publisher_id', true), '')::uuid));
