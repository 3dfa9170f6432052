-- Members' own copies of what they installed: each file they wrote, once by its hash, and each step that says what a file of the copy is. Never changed.
create table copy_content (
  member_id uuid not null, sha256 text not null, size bigint not null, content bytea not null,
  constraint copy_content_pkey primary key (member_id, sha256)
);
create table copy_step (
  member_id uuid not null, id uuid not null, n bigint generated always as identity, license_id uuid not null, version text not null, path text not null,
  kind text not null, base_sha256 text, sha256 text, user_id uuid, user_name text not null, at timestamptz not null,
  constraint copy_step_pkey primary key (member_id, id),
  constraint copy_step_license_fkey foreign key (member_id, license_id) references license (member_id, id),
  constraint copy_step_content_fkey foreign key (member_id, sha256) references copy_content (member_id, sha256),
  constraint copy_step_kind_check check (kind in ('edit', 'upload', 'restore', 'carry', 'merge', 'beside', 'drop')),
  constraint copy_step_content_check check ((kind = 'drop') = (sha256 is null))
);
create index copy_step_license_idx on copy_step (member_id, license_id, version, path, n);
create index copy_step_at_idx on copy_step (member_id, at);

do $$
declare t text;
begin
  foreach t in array array['copy_content', 'copy_step'] loop
    execute format('alter table %I enable row level security', t);
    execute format('alter table %I force row level security', t);
    execute format('create policy own_rows on %I to app_member using (member_id = acting_member()) with check (member_id = acting_member())', t);
    execute format('create policy all_rows on %I to app_system, ledger, current_user using (true) with check (true)', t);
    execute format('grant select, insert on %I to app_member, app_system', t);
  end loop;
end $$;

-- A run of an edited copy is of the copy as it was after this step. It says nothing about the publisher's version.
alter table run add column copy_n bigint;
grant select (copy_n) on run to app_publisher;
