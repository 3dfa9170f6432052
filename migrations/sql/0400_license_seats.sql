-- Licences by seats (decision 0060): a listing says whether one licence serves the whole member or is counted in seats.
alter table listing add column licensed_per text not null default 'member',
  add constraint listing_licensed_per_check check (licensed_per in ('member', 'seat')
    and (licensed_per = 'member' or pricing in ('one_time', 'recurring') and not is_repeatable and kind not in ('service_offering', 'bundle')));
grant update (licensed_per) on listing to app_publisher;

-- A licence of the whole member has no seats. `next_seats`: fewer from the next term on. `worth_offset`: as of a subscription's term (decision 0021).
alter table license add column seats bigint, add column next_seats bigint, add column worth_offset bigint not null default 0,
  add constraint license_seats_check check ((seats is null or seats >= 1 and is_exclusive)
    and (next_seats is null or seats is not null and period is not null and next_seats between 1 and seats - 1));

-- Seats that are added are an order of kind `seats` under the licence: of a running term they cost their share of it.
alter table store_order drop constraint store_order_kind_check, drop constraint store_order_total_check,
  add constraint store_order_kind_check check (
    kind in ('purchase', 'trial', 'renewal', 'milestone', 'agreement', 'usage', 'bundle', 'part', 'seats')
    and (kind not in ('renewal', 'usage', 'seats') or license_id is not null) and (license_id is null or kind in ('renewal', 'usage', 'part', 'seats'))
    and (kind = 'part') = (bundle_id is not null)),
  add constraint store_order_total_check check (quantity >= 1 and discount_minor >= 0 and total_minor >= 0
    and case when kind = 'seats' then total_minor <= price_minor * quantity + quantity
      when excludes_tax then 2 * abs(total_minor + discount_minor - price_minor * quantity) <= quantity
      else total_minor = price_minor * quantity - discount_minor end);

-- Who holds a seat: a person of the member, or a machine by its key. A seat that is given back stays as what was.
alter table app_user add constraint app_user_member_id_id_key unique (member_id, id);
alter table api_key add constraint api_key_member_id_id_key unique (member_id, id);
create table license_seat (
  member_id uuid not null, id uuid not null, license_id uuid not null, user_id uuid, api_key_id uuid,
  assigned_at timestamptz not null, assigned_by uuid, released_at timestamptz, released_by uuid,
  constraint license_seat_pkey primary key (member_id, id),
  constraint license_seat_license_fkey foreign key (member_id, license_id) references license (member_id, id),
  constraint license_seat_user_fkey foreign key (member_id, user_id) references app_user (member_id, id),
  constraint license_seat_api_key_fkey foreign key (member_id, api_key_id) references api_key (member_id, id),
  constraint license_seat_holder_check check ((user_id is null) <> (api_key_id is null))
);
create unique index license_seat_of_user_idx on license_seat (member_id, license_id, user_id) where released_at is null;
create unique index license_seat_of_api_key_idx on license_seat (member_id, license_id, api_key_id) where released_at is null;
alter table license_seat enable row level security;
alter table license_seat force row level security;
create policy own_rows on license_seat to app_member using (member_id = acting_member()) with check (member_id = acting_member());
create policy all_rows on license_seat to app_staff, app_system, ledger, current_user using (true) with check (true);
grant select, insert, update (released_at, released_by) on license_seat to app_member, app_system;
grant select, update (released_at, released_by) on license_seat to app_staff;
