-- Tax rates with the instant each begins. Before an entity's first one, the rate it was set up with (legal_entity.tax_rate_bp) holds, so no row
-- has to be filled in. Rows are never changed: a rate that has been charged at is history.
create table tax_rate (
  entity_id uuid not null, valid_from timestamptz not null, name_zh text not null, name_en text not null, rate_bp bigint not null,
  set_at timestamptz not null, set_by uuid,
  constraint tax_rate_pkey primary key (entity_id, valid_from),
  constraint tax_rate_entity_id_fkey foreign key (entity_id) references legal_entity (id),
  constraint tax_rate_rate_check check (rate_bp between 0 and 10000),
  constraint tax_rate_ahead_check check (valid_from > set_at)
);
grant select on tax_rate to app_member, app_staff, app_system, app_publisher;
grant insert on tax_rate to app_staff, app_system;
grant delete on tax_rate to app_staff;  -- one that has not begun may be taken back; membership/taxes.py refuses the others

-- The rate in force at an instant, in basis points. The same answer as membership/taxes.py: rate_at.
create function tax_rate_at(entity uuid, at timestamptz) returns bigint language sql stable parallel safe as $$
  select coalesce((select r.rate_bp from tax_rate r where r.entity_id = tax_rate_at.entity and r.valid_from <= tax_rate_at.at order by r.valid_from desc limit 1),
                  (select e.tax_rate_bp from legal_entity e where e.id = tax_rate_at.entity))
$$;

-- The tax inside a price that includes it, half up. The same answer as core/money.py: tax_included.
create function tax_inside(gross_minor bigint, rate_bp bigint) returns bigint language sql immutable parallel safe as $$
  select sign(gross_minor)::bigint * ((2 * abs(gross_minor) * rate_bp + 10000 + rate_bp) / (2 * (10000 + rate_bp)))
$$;

-- A listing has a rate of its own only where it is not the seller's (a voucher is not taxed); null: the seller's rate at the supply date.
alter table listing alter column tax_rate_bp drop not null;
update listing set tax_rate_bp = null where tax_rate_bp in (select tax_rate_bp from legal_entity);
