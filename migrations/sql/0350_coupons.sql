-- Coupons: a code that lowers a price, within a window, for so many uses. What an order was lowered by is kept with it.
create table coupon (
  id uuid not null, code text not null, currency text not null, kind text not null, percent_bp bigint, amount_minor bigint,
  starts_at timestamptz not null, ends_at timestamptz, most_uses bigint, uses bigint not null, first_only boolean not null,
  listing_id uuid constraint coupon_listing_id_fkey references listing (id), publisher_id uuid constraint coupon_publisher_id_fkey references publisher (id),
  created_by text, created_at timestamptz not null, end_reason text,
  constraint coupon_pkey primary key (id),
  constraint coupon_code_key unique (code),
  constraint coupon_value_check check (kind = 'percent' and percent_bp is not null and percent_bp between 1 and 10000 and amount_minor is null
    or kind = 'amount' and amount_minor is not null and amount_minor > 0 and percent_bp is null),
  constraint coupon_uses_check check (uses >= 0 and (most_uses is null or most_uses >= 1 and uses <= most_uses)),
  constraint coupon_dates_check check (ends_at is null or ends_at >= starts_at),
  constraint coupon_scope_check check (listing_id is null or publisher_id is null)
);
grant select on coupon to app_member, app_staff, app_system, ledger;
grant insert, update (ends_at, end_reason) on coupon to app_staff, app_system;
grant update (uses) on coupon to ledger;

-- One use, under the row's lock until the purchase's transaction ends: false where none is left, or the window closed meanwhile.
create function take_coupon(wanted uuid, at timestamptz) returns boolean language plpgsql security definer set search_path = public, pg_temp as $$
begin
  update coupon c set uses = c.uses + 1
  where c.id = wanted and c.starts_at <= at and (c.ends_at is null or c.ends_at > at) and (c.most_uses is null or c.uses < c.most_uses);
  return found;
end $$;
alter function take_coupon owner to ledger;
revoke execute on function take_coupon from public;
grant execute on function take_coupon to app_member, app_system;

alter table store_order add column discount_minor bigint not null default 0;
alter table store_order add column coupon_id uuid constraint store_order_coupon_id_fkey references coupon (id);
alter table store_order drop constraint store_order_total_check;
alter table store_order add constraint store_order_total_check check (
  quantity >= 1 and total_minor = price_minor * quantity - discount_minor and discount_minor >= 0 and total_minor >= 0);
alter table store_order add constraint store_order_coupon_check check (discount_minor = 0 or coupon_id is not null);
create index store_order_coupon_id_idx on store_order (coupon_id) where coupon_id is not null;
