-- Runs of bought apps in the sandbox, with what went in and what came out. `hold_id` is money reserved for a run that is charged by use.
create table run (
  member_id uuid not null, id uuid not null, request_hash bytea not null, license_id uuid not null, listing_id uuid not null, version text not null,
  sha256 text not null, kind text not null, state text not null, parameters jsonb not null, hold_id uuid, requested_by uuid, requested_by_name text not null,
  progress text, steps bigint not null, failure jsonb, log text not null, took_ms bigint, queued_at timestamptz not null, started_at timestamptz,
  finished_at timestamptz,
  constraint run_pkey primary key (member_id, id),
  constraint run_license_fkey foreign key (member_id, license_id) references license (member_id, id),
  constraint run_version_fkey foreign key (listing_id, version) references listing_version (listing_id, number),
  constraint run_state_check check (state in ('queued', 'running', 'succeeded', 'failed')),
  constraint run_finished_check check ((finished_at is not null) = (state in ('succeeded', 'failed')))
);
create index run_member_id_queued_at_idx on run (member_id, queued_at);
create index run_listing_id_queued_at_idx on run (listing_id, queued_at);
create index run_open_idx on run (queued_at) where state in ('queued', 'running');

create table run_file (
  member_id uuid not null, run_id uuid not null, direction text not null, n bigint not null, name text not null, size bigint not null, content bytea,
  constraint run_file_pkey primary key (member_id, run_id, direction, n),
  constraint run_file_run_fkey foreign key (member_id, run_id) references run (member_id, id),
  constraint run_file_direction_check check (direction in ('input', 'output'))
);

do $$
declare t text;
begin
  foreach t in array array['run', 'run_file'] loop
    execute format('alter table %I enable row level security', t);
    execute format('alter table %I force row level security', t);
    execute format('create policy own_rows on %I to app_member using (member_id = acting_member()) with check (member_id = acting_member())', t);
    execute format('create policy all_rows on %I to app_staff, app_system, ledger, current_user using (true) with check (true)', t);
    execute format('grant select, insert on %I to app_member', t);
    execute format('grant select, insert, update on %I to app_system', t);
  end loop;
end $$;
grant select on run to app_staff;
-- A publisher sees how its listings run, not on what, for whom, or what they said.
grant select (listing_id, version, state, took_ms, queued_at) on run to app_publisher;
create policy own_listings on run for select to app_publisher using (listing_id in
  (select id from listing where publisher_id = nullif(current_setting('app.publisher_id', true), '')::uuid));
