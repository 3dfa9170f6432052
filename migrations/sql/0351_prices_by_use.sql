-- Prices by use: nothing at the purchase, so much a run, never more in a calendar month than the buyer approved.
-- The licence keeps what was agreed: `price_minor` is then the price of a run.
alter table listing add constraint listing_pricing_check check (pricing in ('free', 'one_time', 'recurring', 'usage') and (pricing <> 'usage' or not is_repeatable));
alter table license add column monthly_cap_minor bigint;
alter table license add constraint license_cap_check check (monthly_cap_minor > 0);
alter table store_order drop constraint store_order_kind_check;
alter table store_order add constraint store_order_kind_check check (
  kind in ('purchase', 'trial', 'renewal', 'milestone', 'agreement', 'usage') and (kind in ('renewal', 'usage')) = (license_id is not null));
create index store_order_usage_idx on store_order (member_id, license_id, at) where kind = 'usage';
create index run_held_idx on run (member_id, license_id) where hold_id is not null;
