-- Services of partners: an order holds the whole price; each milestone that the buyer accepts is captured as a purchase of its own (decision 0047).
create function are_milestones(m jsonb) returns boolean language sql immutable as $$
  select jsonb_typeof(m) = 'array' and jsonb_array_length(m) between 1 and 20
    and (select sum((x->>'share_bp')::int) = 10000 and min((x->>'share_bp')::int) > 0 and min((x->>'days')::int) > 0 from jsonb_array_elements(m) x)
$$;
alter table listing add column milestones jsonb;
alter table listing add constraint listing_milestones_check check (milestones is null or are_milestones(milestones));

alter table store_order drop constraint store_order_kind_check;
alter table store_order add constraint store_order_kind_check
  check (kind in ('purchase', 'trial', 'renewal', 'milestone') and (kind = 'renewal') = (license_id is not null));

-- What was agreed is frozen here; the hold carries the order's id.
create table service_order (
  member_id uuid not null, id uuid not null, request_hash bytea not null, listing_id uuid not null, publisher_id uuid not null, price_minor bigint not null,
  currency text not null, commission_bp bigint not null, tax_rate_bp bigint not null, bonus_limit_bp bigint not null, brief text not null, state text not null,
  placed_by uuid, at timestamptz not null, ends_at timestamptz not null, held_until timestamptz not null, closed_at timestamptz,
  constraint service_order_pkey primary key (member_id, id),
  constraint service_order_member_id_fkey foreign key (member_id) references member (id),
  constraint service_order_listing_id_fkey foreign key (listing_id) references listing (id),
  constraint service_order_publisher_id_fkey foreign key (publisher_id) references publisher (id),
  constraint service_order_state_check check (state in ('running', 'completed', 'cancelled', 'lapsed') and (state = 'running') = (closed_at is null)),
  constraint service_order_price_check check (price_minor > 0 and ends_at < held_until)
);
create index service_order_publisher_id_idx on service_order (publisher_id, at);
create index service_order_ends_at_idx on service_order (ends_at) where state = 'running';

create table service_milestone (
  member_id uuid not null, order_id uuid not null, position bigint not null, publisher_id uuid not null, name_zh text not null, name_en text not null,
  amount_minor bigint not null, tax_minor bigint not null, commission_minor bigint not null, bonus_limit_minor bigint not null, state text not null,
  due_at timestamptz not null, delivered_at timestamptz, delivery_note text, accept_by timestamptz, dispute_reason text, captured_minor bigint not null,
  charge_id uuid, closed_at timestamptz,
  constraint service_milestone_pkey primary key (member_id, order_id, position),
  constraint service_milestone_member_id_order_id_fkey foreign key (member_id, order_id) references service_order (member_id, id),
  constraint service_milestone_state_check check (state in ('open', 'delivered', 'disputed', 'accepted', 'decided', 'released', 'lapsed')),
  constraint service_milestone_captured_check check (captured_minor between 0 and amount_minor and (captured_minor > 0) = (charge_id is not null)
    and (state in ('open', 'delivered', 'disputed')) = (closed_at is null) and (state <> 'accepted' or captured_minor = amount_minor))
);
create index service_milestone_accept_by_idx on service_milestone (accept_by) where state = 'delivered';
create index service_milestone_disputed_idx on service_milestone (publisher_id) where state = 'disputed';
create unique index service_milestone_charge_idx on service_milestone (member_id, charge_id) where charge_id is not null;

-- Every step of an order or of one of its milestones: who, when, why. Never changed.
create table service_step (
  id uuid not null, member_id uuid not null, order_id uuid not null, position bigint, publisher_id uuid not null, action text not null, from_state text,
  to_state text not null, amount_minor bigint, at timestamptz not null, actor_role text not null, actor_id uuid, actor_name text not null, reason text,
  constraint service_step_pkey primary key (id),
  constraint service_step_member_id_order_id_fkey foreign key (member_id, order_id) references service_order (member_id, id)
);
create index service_step_order_idx on service_step (member_id, order_id, at);

do $$
declare t text;
begin
  foreach t in array array['service_order', 'service_milestone', 'service_step'] loop
    execute format('alter table %I enable row level security', t);
    execute format('alter table %I force row level security', t);
    execute format('create policy own_rows on %I to app_member using (member_id = acting_member()) with check (member_id = acting_member())', t);
    execute format('create policy all_rows on %I to app_staff, app_system, ledger, current_user using (true) with check (true)', t);
    execute format('create policy own_services on %I for select to app_publisher using (publisher_id = nullif(current_setting(''app.publisher_id'', true), '''')::uuid)', t);
    execute format('grant select, insert on %I to app_member, app_staff, app_system', t);
    execute format('grant select on %I to app_publisher', t);
  end loop;
end $$;
grant update (state, closed_at) on service_order to app_member, app_staff, app_system;
grant update (state, delivered_at, delivery_note, accept_by, dispute_reason, captured_minor, charge_id, closed_at) on service_milestone
  to app_member, app_staff, app_system;
