-- Bundles: a listing that names others. Its price is split over them; each part is an order, a charge and a licence of its own (decision 0052).
create table bundle_part (
  bundle_id uuid not null constraint bundle_part_bundle_id_fkey references listing (id),
  listing_id uuid not null constraint bundle_part_listing_id_fkey references listing (id),
  position bigint not null,
  constraint bundle_part_pkey primary key (bundle_id, listing_id),
  constraint bundle_part_other_check check (bundle_id <> listing_id)
);
grant select on bundle_part to app_member, app_staff, app_system, app_publisher;
grant insert, delete on bundle_part to app_staff, app_system;

alter table store_order add column bundle_id uuid;  -- of a part: the order of the bundle
alter table store_order drop constraint store_order_kind_check;
alter table store_order add constraint store_order_kind_check check (
  kind in ('purchase', 'trial', 'renewal', 'milestone', 'agreement', 'usage', 'bundle', 'part')
  and (kind not in ('renewal', 'usage') or license_id is not null) and (license_id is null or kind in ('renewal', 'usage', 'part'))
  and (kind = 'part') = (bundle_id is not null));
create index store_order_bundle_idx on store_order (member_id, bundle_id) where bundle_id is not null;
