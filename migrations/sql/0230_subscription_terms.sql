-- Subscriptions in full. Expand only: every new column is null or has a constant default, so rows and code of before keep their meaning.
alter table edition_price drop constraint edition_price_period_check;
alter table edition_price add constraint edition_price_period_check check (period in ('month', 'quarter', 'year', 'once', 'maintenance'));

alter table subscription
  add column next_period text,
  add column commitment_years bigint,
  add column committed_until timestamptz,
  add column price_locked_at timestamptz,
  add column proration_unit text not null default 'day',
  add column worth_offset numeric(40, 0) not null default 0,
  add column peak_price_minor bigint,
  add column peak_at timestamptz,
  add column paused_at timestamptz,
  add column resumes_at timestamptz,
  add column units_left bigint,
  add column paused_units bigint not null default 0,
  drop constraint subscription_state_check,
  add constraint subscription_state_check check (state in ('trialing', 'active', 'past_due', 'paused', 'ended')),
  add constraint subscription_contract_form_check check (deployment in ('saas', 'private') and licensing in ('rental', 'perpetual')),
  add constraint subscription_period_check check ((licensing = 'perpetual') = (period in ('once', 'maintenance'))),
  add constraint subscription_commitment_check check (num_nulls(commitment_years, committed_until, price_locked_at) in (0, 3)),
  add constraint subscription_paused_check check (state <> 'paused' or num_nulls(paused_at, resumes_at, units_left) = 0),
  add constraint subscription_proration_check check (proration_unit in ('day', 'second') and paused_units >= 0);
create index subscription_resumes_idx on subscription (resumes_at) where state = 'paused';

create table subscription_pause (
  member_id uuid not null,
  id uuid not null,
  subscription_id uuid not null,
  term bigint not null,
  asked_at timestamptz not null,
  from_at timestamptz not null,
  until_at timestamptz,
  constraint subscription_pause_pkey primary key (member_id, id),
  constraint subscription_pause_member_id_subscription_id_fkey foreign key (member_id, subscription_id) references subscription (member_id, id),
  constraint subscription_pause_order_check check (until_at >= from_at)
);
create unique index subscription_pause_open_idx on subscription_pause (member_id, subscription_id) where until_at is null;
create index subscription_pause_member_id_subscription_id_asked_at_idx on subscription_pause (member_id, subscription_id, asked_at);
alter table subscription_pause enable row level security;
alter table subscription_pause force row level security;
create policy own_rows on subscription_pause to app_member using (member_id = acting_member()) with check (member_id = acting_member());
create policy all_rows on subscription_pause to app_staff, app_system, ledger, current_user using (true) with check (true);
grant select, insert, update on subscription_pause to app_member, app_staff, app_system;

alter table subscription_motion
  add column seq bigint generated always as identity,
  drop constraint subscription_motion_motion_check,
  add constraint subscription_motion_motion_check check (motion in (
    'new', 'renewal', 'seats', 'upgrade', 'downgrade', 'period', 'cancel', 'resume', 'pause', 'unpause', 'past_due', 'lapse', 'credit'));

alter table subscription_charge
  add column credits_id uuid,
  add column service_units bigint,
  drop constraint subscription_charge_amounts_check,
  add constraint subscription_charge_amounts_check check (
    service_until > service_from and case when credits_id is null then amount_minor >= 0 and tax_minor between 0 and amount_minor
    else amount_minor < 0 and tax_minor between amount_minor and 0 and state = 'paid' end),
  add constraint subscription_charge_service_units_check check (service_units > 0);
create index subscription_charge_member_id_subscription_id_term_idx on subscription_charge (member_id, subscription_id, term);
