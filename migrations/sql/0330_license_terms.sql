-- Licences with a term: recurring prices that renew from the wallet, and trials that end by themselves (decision 0046).
alter table listing add column trial_days bigint not null default 0;
alter table listing add constraint listing_trial_check check (trial_days between 0 and 365 and (trial_days = 0 or price_minor > 0 and not is_repeatable));
alter table listing drop constraint listing_period_check;
alter table listing add constraint listing_period_check check ((pricing = 'recurring') = (period is not null) and period in ('month', 'year'));

alter table store_order add column kind text not null default 'purchase';
alter table store_order add column license_id uuid;  -- of a renewal: the licence it prolongs
alter table store_order add constraint store_order_kind_check check (kind in ('purchase', 'trial', 'renewal') and (kind = 'renewal') = (license_id is not null));
create unique index store_order_one_trial_idx on store_order (member_id, listing_id) where kind = 'trial';  -- a trial is not begun anew

-- What the member agreed to, frozen at the purchase. `next_attempt_at`: when the renewal job looks at it next; null where no term ends.
alter table license add column period text, add column term bigint not null default 1, add column price_minor bigint not null default 0,
  add column commission_bp bigint, add column tax_rate_bp bigint, add column bonus_limit_bp bigint not null default 0,
  add column anchor_day bigint, add column auto_renews boolean not null default false, add column next_attempt_at timestamptz, add column suspended_at timestamptz;
alter table license drop constraint license_state_check;
alter table license add constraint license_state_check check (state in ('trial', 'active', 'suspended', 'ended'));
alter table license add constraint license_term_check check (
  (period is null or ends_at is not null and anchor_day between 1 and 31 and period in ('month', 'year'))
  and (state <> 'trial' or ends_at is not null) and (state = 'ended' or ends_at is null or next_attempt_at is not null) and (state = 'suspended') = (suspended_at is not null));
create index license_due_idx on license (next_attempt_at) where next_attempt_at is not null;
