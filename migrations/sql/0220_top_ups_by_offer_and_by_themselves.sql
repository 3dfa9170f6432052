-- Offers of finance become campaigns with tiers; wallets may top up by themselves; members may be warned of a low balance.
alter table top_up_offer
  add column name_zh text, add column name_en text, add column priority bigint not null default 0, add column first_only boolean not null default false,
  add column created_by text, add column created_at timestamptz;
update top_up_offer set name_zh = '充值优惠', name_en = 'Top-up offer', created_at = starts_at;
alter table top_up_offer
  alter column name_zh set not null, alter column name_en set not null, alter column created_at set not null,
  alter column priority drop default, alter column first_only drop default,
  add constraint top_up_offer_dates_check check (bonus_days > 0 and (ends_at is null or ends_at >= starts_at));
create table top_up_tier (
  offer_id uuid not null constraint top_up_tier_offer_id_fkey references top_up_offer (id),
  from_minor bigint not null, bonus_minor bigint not null,
  constraint top_up_tier_pkey primary key (offer_id, from_minor),
  constraint top_up_tier_amounts_check check (from_minor > 0 and bonus_minor > 0)
);
insert into top_up_tier select id, from_minor, bonus_minor from top_up_offer where from_minor > 0 and bonus_minor > 0;
alter table top_up_offer drop column from_minor, drop column bonus_minor;
grant select on top_up_tier to app_member, app_staff, app_system;
grant insert on top_up_tier to app_staff, app_system;

alter table top_up
  add column bonus_priority bigint not null default 0,
  add column offer_id uuid constraint top_up_offer_id_fkey references top_up_offer (id),
  add column auto_number bigint;
create unique index top_up_auto_idx on top_up (member_id, auto_number) where auto_number is not null;
create unique index top_up_auto_pending_idx on top_up (member_id) where auto_number is not null and state = 'pending';
create index top_up_offer_idx on top_up (offer_id) where offer_id is not null;

create table auto_top_up (
  member_id uuid not null constraint auto_top_up_member_id_fkey references member (id), currency text not null, state text not null,
  threshold_minor bigint not null, amount_minor bigint not null, cap_minor bigint not null, payment_method_id uuid not null,
  attempts bigint not null, forgiven bigint not null, next_at timestamptz not null, stop_reason text, stopped_at timestamptz,
  set_by uuid, set_at timestamptz not null,
  constraint auto_top_up_pkey primary key (member_id),
  constraint auto_top_up_state_check check (state in ('on', 'off', 'stopped')),
  constraint auto_top_up_amounts_check check (threshold_minor > 0 and amount_minor >= threshold_minor and cap_minor >= amount_minor),
  constraint auto_top_up_attempts_check check (forgiven between 0 and attempts)
);
create index auto_top_up_on_idx on auto_top_up (next_at) where state = 'on';

create table balance_warning (
  member_id uuid not null constraint balance_warning_member_id_fkey references member (id), currency text not null,
  threshold_minor bigint, told_at timestamptz, set_at timestamptz not null,
  constraint balance_warning_pkey primary key (member_id),
  constraint balance_warning_threshold_check check (threshold_minor > 0)
);

do $$
declare t text;
begin
  foreach t in array array['auto_top_up', 'balance_warning'] loop
    execute format('alter table %I enable row level security', t);
    execute format('alter table %I force row level security', t);
    execute format('create policy own_rows on %I to app_member using (member_id = acting_member()) with check (member_id = acting_member())', t);
    execute format('create policy all_rows on %I to app_staff, app_system, ledger, current_user using (true) with check (true)', t);
    execute format('grant select, insert, update on %I to app_member, app_system', t);
    execute format('grant select on %I to app_staff', t);
  end loop;
end $$;
