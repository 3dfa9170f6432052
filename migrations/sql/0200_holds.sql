-- Money set aside. A hold reserves parts of grants (`hold_draw`); what is reserved is counted in `held_minor` of the grant and of the wallet.
-- Always true: amount = captured + released + what the draws have left; a grant's held = the sum of its draws; the wallet's = the sum of its grants'.
create table hold (
  member_id uuid not null, id uuid not null, request_hash bytea not null, currency text not null,
  amount_minor bigint not null, captured_minor bigint not null default 0, released_minor bigint not null default 0,
  state text not null default 'open', reason text, created_by uuid, expires_at timestamptz, created_at timestamptz not null, closed_at timestamptz,
  constraint hold_pkey primary key (member_id, id),
  constraint hold_member_id_currency_fkey foreign key (member_id, currency) references wallet (member_id, currency),
  constraint hold_amount_check check (amount_minor > 0 and captured_minor >= 0 and released_minor >= 0 and captured_minor + released_minor <= amount_minor),
  constraint hold_state_check check (state in ('open', 'captured', 'released', 'expired')),
  constraint hold_closed_check check ((state = 'open') = (captured_minor + released_minor < amount_minor) and (state = 'open') = (closed_at is null))
) with (fillfactor = 50);
create index hold_member_id_created_at_idx on hold (member_id, created_at);
create index hold_expires_at_idx on hold (expires_at) where state = 'open';

create table hold_draw (
  member_id uuid not null, hold_id uuid not null, grant_id uuid not null, remaining_minor bigint not null,
  constraint hold_draw_pkey primary key (member_id, hold_id, grant_id),
  constraint hold_draw_member_id_hold_id_fkey foreign key (member_id, hold_id) references hold (member_id, id),
  constraint hold_draw_member_id_grant_id_fkey foreign key (member_id, grant_id) references wallet_grant (member_id, id),
  constraint hold_draw_remaining_check check (remaining_minor >= 0)
) with (fillfactor = 50);

-- What a member may owe us beyond its money (books, move 12), and what it owes: the balance of its account `member_receivable`.
alter table wallet add column credit_limit_minor bigint not null default 0, add column receivable_minor bigint not null default 0;
alter table wallet add constraint wallet_credit_limit_check check (credit_limit_minor >= 0);

do $$
declare t text;
begin
  grant create on schema public to ledger;
  foreach t in array array['hold', 'hold_draw'] loop
    execute format('alter table %I owner to ledger', t);
    execute format('grant select on %I to app_member, app_staff, app_system', t);
    execute format('alter table %I enable row level security', t);
    execute format('alter table %I force row level security', t);
    execute format('create policy own_rows on %I to app_member using (member_id = acting_member()) with check (member_id = acting_member())', t);
    execute format('create policy all_rows on %I to app_staff, app_system, ledger, current_user using (true) with check (true)', t);
  end loop;
  revoke create on schema public from ledger;
end $$;

-- A charge may be the capture of a hold; and which money goes first is the vendor's setting: bonus_first, paid_first or proportional.
alter type charge_request add attribute hold_id uuid, add attribute consumption_order text;

create or replace function place_order(r order_request) returns order_result language plpgsql as $$
declare c charge_result; first store_order; for_sale boolean; owned boolean := false;
begin
  perform set_config('app.member_id', r.member_id::text, true);
  for_sale := exists (select from listing l where l.id = r.listing_id and l.revision = r.listing_revision and l.state = 'published');
  if r.is_exclusive then
    owned := exists (select from license x where x.member_id = r.member_id and x.listing_id = r.listing_id and x.is_exclusive and x.state <> 'ended');
  end if;
  if for_sale and not owned and r.price_minor > 0 then
    c := charge_many(array[(r.member_id, r.id, r.request_hash, 'purchase', r.currency, r.at, null, r.targets, r.amounts, r.bonus_limits, null, null)::charge_request]);
  elsif for_sale and not owned then  -- free: no money moves, the order's own key makes it once
    c := (r.member_id, r.id, 'new', 0, 0, 0, (select w.paid_minor + w.bonus_minor from wallet w where w.member_id = r.member_id and w.currency = r.currency));
  end if;
  if c.status is distinct from 'new' or r.price_minor = 0 then
    select * into first from store_order o where o.member_id = r.member_id and o.id = r.id;
    if found then
      return (case when first.request_hash = r.request_hash then 'replayed' else 'id_reused' end, 0, first.paid_minor, first.bonus_minor, first.balance_after_minor, first.at)::order_result;
    elsif c.status is null then  -- the listing changed since the quote, or the licence is there already
      return (case when owned then 'already_owned' else 'stale' end, 0, 0, 0, 0, r.at)::order_result;
    elsif c.status <> 'new' then
      return (case c.status when 'replayed' then 'id_reused' else c.status end, c.missing_minor, 0, 0, c.balance_after_minor, r.at)::order_result;
    end if;
  end if;
  insert into store_order (member_id, id, request_hash, listing_id, version, quantity, price_minor, total_minor, tax_minor, currency,
      paid_minor, bonus_minor, balance_after_minor, state, offer_id, csm_id, placed_by, at)
    values (r.member_id, r.id, r.request_hash, r.listing_id, r.version, r.quantity, r.price_minor, r.price_minor * r.quantity, r.tax_minor, r.currency,
      c.paid_minor, c.bonus_minor, c.balance_after_minor, 'completed', r.offer_id, r.csm_id, r.placed_by, r.at);
  insert into license (member_id, id, listing_id, version, quantity, state, is_exclusive, starts_at)
    values (r.member_id, r.id, r.listing_id, r.version, r.quantity, 'active', r.is_exclusive, r.at);
  return ('new', 0, c.paid_minor, c.bonus_minor, c.balance_after_minor, r.at)::order_result;
end $$;
