-- Ingest locks the stale mark of a day until its events are committed: a rollup cannot take the mark and miss them.
grant update on usage_stale to app_member;

-- Why a customer said no, in its own words.
alter table offer add column refusal text;
create index offer_expires_idx on offer (expires_at) where state = 'sent';

-- One row a member: what its people did in the last 28 days, the 28 before, and eight weeks. Made from usage_daily by a job.
create table activity (
  member_id uuid not null, day date not null, active_7 bigint not null, active_28 bigint not null, active_prev_28 bigint not null,
  user_days_28 bigint not null, user_days_prev_28 bigint not null, active_days_28 bigint not null, duration_ms_28 bigint not null,
  events_28 bigint not null, automated_28 bigint not null, features_28 bigint not null, top_feature text, weeks bigint[] not null,
  trend_bp bigint, computed_at timestamptz not null,
  constraint activity_pkey primary key (member_id),
  constraint activity_member_id_fkey foreign key (member_id) references member (id),
  constraint activity_weeks_check check (cardinality(weeks) = 8)
);

-- Step sequences a member's people repeat, found by a nightly job; the worklist reads them.
create table routine (
  member_id uuid not null, id uuid not null, steps jsonb not null, runs bigint not null, users bigint not null,
  minutes_a_month bigint not null, listing_id uuid, minutes_saved_a_month bigint not null, found_at timestamptz not null,
  constraint routine_pkey primary key (member_id, id),
  constraint routine_member_id_fkey foreign key (member_id) references member (id),
  constraint routine_listing_id_fkey foreign key (listing_id) references listing (id)
);

do $$
declare t text;
begin
  foreach t in array array['activity', 'routine'] loop
    execute format('alter table %I enable row level security', t);
    execute format('alter table %I force row level security', t);
    execute format('create policy own_rows on %I to app_member using (member_id = acting_member()) with check (member_id = acting_member())', t);
    execute format('create policy all_rows on %I to app_staff, app_system, ledger, current_user using (true) with check (true)', t);
    execute format('grant select on %I to app_member, app_staff', t);
    execute format('grant select, insert, update, delete on %I to app_system', t);
  end loop;
end $$;
