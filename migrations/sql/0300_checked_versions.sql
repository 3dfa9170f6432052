-- A listing's and a version's way through the store, every step kept; quarantine stands apart from both.
alter table listing add column is_quarantined boolean not null default false, add column state_reason text, add column replacement_id uuid;
alter table listing add constraint listing_replacement_id_fkey foreign key (replacement_id) references listing (id);
alter table listing alter column is_quarantined drop default;

alter table listing_version add column is_quarantined boolean not null default false, add column attempt bigint not null default 0,
  add column key_id text, add column signature text, add column checked_at timestamptz;
alter table listing_version alter column is_quarantined drop default, alter column attempt drop default;
alter table listing_version drop constraint listing_version_state_check;
update listing_version set state = 'rejected' where state = 'draft' and review_note is not null;
alter table listing_version add constraint listing_version_state_check
  check (state in ('draft', 'scanning', 'in_review', 'published', 'yanked', 'rejected'));
create index listing_version_unchecked_idx on listing_version (created_at) where state in ('draft', 'scanning');

create table listing_transition (
  id uuid not null, listing_id uuid not null, action text not null, from_state text, to_state text not null, at timestamptz not null,
  actor_role text not null, actor_id uuid, actor_name text not null, reason text,
  constraint listing_transition_pkey primary key (id),
  constraint listing_transition_listing_id_fkey foreign key (listing_id) references listing (id)
);
create index listing_transition_listing_id_at_idx on listing_transition (listing_id, at);
create table version_transition (
  id uuid not null, listing_id uuid not null, number text not null, action text not null, from_state text, to_state text not null,
  at timestamptz not null, actor_role text not null, actor_id uuid, actor_name text not null, reason text,
  constraint version_transition_pkey primary key (id),
  constraint version_transition_version_fkey foreign key (listing_id, number) references listing_version (listing_id, number)
);
create index version_transition_listing_id_number_at_idx on version_transition (listing_id, number, at);

-- One row a check and attempt, passed or not: findings for the publisher, details (log, expected beside actual) for the reviewer.
create table version_check (
  listing_id uuid not null, number text not null, attempt bigint not null, name text not null, position bigint not null, state text not null,
  findings jsonb not null, detail jsonb not null, started_at timestamptz, finished_at timestamptz,
  constraint version_check_pkey primary key (listing_id, number, attempt, name),
  constraint version_check_version_fkey foreign key (listing_id, number) references listing_version (listing_id, number),
  constraint version_check_state_check check (state in ('waiting', 'running', 'passed', 'failed', 'refused', 'not_reached'))
);

-- Public parts of the keys that have signed artifacts.
create table signing_key (
  id text not null, public bytea not null, created_at timestamptz not null,
  constraint signing_key_pkey primary key (id)
);

grant select on listing_transition, version_transition, version_check, signing_key to app_staff, app_system, app_publisher;
grant select on version_check, signing_key to app_member;
grant insert on listing_transition, version_transition to app_staff, app_system, app_publisher;  -- never changed, never deleted
grant insert, update on version_check to app_system;
grant insert on signing_key to app_system;

do $$
declare t text;
begin
  foreach t in array array['listing_transition', 'version_transition', 'version_check'] loop
    execute format('alter table %I enable row level security', t);
    execute format('create policy staff on %I to app_staff, app_system, current_user using (true) with check (true)', t);
    execute format('create policy own_listings on %I to app_publisher using (listing_id in (select id from listing where publisher_id = '
      'nullif(current_setting(''app.publisher_id'', true), '''')::uuid)) with check (listing_id in (select id from listing where publisher_id = '
      'nullif(current_setting(''app.publisher_id'', true), '''')::uuid))', t);
  end loop;
end $$;
-- Members see how the versions that they may use were checked.
create policy released on version_check for select to app_member using (exists (
  select from listing_version v where v.listing_id = version_check.listing_id and v.number = version_check.number and v.state in ('published', 'yanked')));

-- A publisher hands in; jobs check; reviewers decide.
drop policy submit_own on listing_version;
create policy submit_own on listing_version for insert to app_publisher with check (
  state = 'draft' and published_at is null and review_note is null and signature is null and attempt = 0 and not is_quarantined
  and listing_id in (select id from listing where publisher_id = nullif(current_setting('app.publisher_id', true), '')::uuid));
