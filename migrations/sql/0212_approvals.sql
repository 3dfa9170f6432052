-- What staff decide about money: proposed by one, decided by another above a limit, done once. Written about members, closed to them.
create table approval (
  id uuid not null, request_hash bytea not null, kind text not null, member_id uuid, currency text not null, amount_minor bigint not null,
  reason_code text not null, reason text not null, details jsonb not null, needs_second boolean not null, state text not null,
  proposed_by uuid not null, proposed_name text not null, proposed_role text not null, proposed_at timestamptz not null,
  decided_by uuid, decided_name text, decided_at timestamptz, note text,
  constraint approval_pkey primary key (id),
  constraint approval_member_id_fkey foreign key (member_id) references member (id),
  constraint approval_amount_check check (amount_minor >= 0),
  constraint approval_state_check check (state in ('proposed', 'done', 'rejected')),
  constraint approval_decided_check check ((state = 'proposed') = (decided_at is null)),
  constraint approval_second_check check (not needs_second or decided_by is null or state = 'rejected' or decided_by <> proposed_by)
);
create index approval_waiting_idx on approval (proposed_at) where state = 'proposed';
create index approval_member_id_proposed_at_idx on approval (member_id, proposed_at);
create index approval_proposed_at_idx on approval (proposed_at, id);
grant select, insert, update on approval to app_staff, app_system;

-- Money on its way out of a wallet, back to the card or the bank account it came from (books, move 8).
create table card_refund (
  member_id uuid not null, id uuid not null, top_up_id uuid not null, method text not null, currency text not null,
  amount_minor bigint not null, bonus_minor bigint not null, state text not null, failure text,
  stripe_refund text, bank_transaction text, requested_by uuid, requested_at timestamptz not null, begun_at timestamptz, closed_at timestamptz,
  checked_at timestamptz,
  constraint card_refund_pkey primary key (member_id, id),
  constraint card_refund_member_id_fkey foreign key (member_id, top_up_id) references top_up (member_id, id),
  constraint card_refund_amount_check check (amount_minor > 0 and bonus_minor >= 0),
  constraint card_refund_method_check check (method in ('card', 'bank_transfer')),
  constraint card_refund_state_check check (state in ('requested', 'pending', 'confirmed', 'failed', 'rejected'))
);
create index card_refund_pending_idx on card_refund (begun_at) where state = 'pending';
create index card_refund_member_id_requested_at_idx on card_refund (member_id, requested_at);
create index card_refund_top_up_id_idx on card_refund (member_id, top_up_id);
create unique index card_refund_stripe_refund_idx on card_refund (stripe_refund);
create unique index card_refund_bank_transaction_idx on card_refund (bank_transaction);

-- A payment that the cardholder contests at the bank (books, move 9).
create table dispute (
  member_id uuid not null, id uuid not null, stripe_id text not null, top_up_id uuid not null, currency text not null, amount_minor bigint not null,
  fee_minor bigint not null, reserved_minor bigint not null, owed_minor bigint not null, bonus_minor bigint not null, reason text not null,
  state text not null, respond_by timestamptz, opened_at timestamptz not null, closed_at timestamptz,
  constraint dispute_pkey primary key (member_id, id),
  constraint dispute_member_id_fkey foreign key (member_id, top_up_id) references top_up (member_id, id),
  constraint dispute_amount_check check (amount_minor > 0 and fee_minor >= 0 and reserved_minor between 0 and amount_minor and owed_minor >= 0 and bonus_minor >= 0),
  constraint dispute_state_check check (state in ('inquiry', 'open', 'won', 'lost', 'dropped'))
);
create unique index dispute_stripe_id_idx on dispute (stripe_id);
create index dispute_opened_at_idx on dispute (opened_at, id);
create index dispute_open_idx on dispute (member_id) where state = 'open';

-- What was given back of an order, and what became of its licence: a choice of whoever refunded.
alter table store_order add column refunded_minor bigint not null default 0;
alter table store_order add constraint store_order_refunded_check check (refunded_minor between 0 and total_minor);
create table order_refund (
  member_id uuid not null, id uuid not null, order_id uuid not null, amount_minor bigint not null, is_revoked boolean not null, reason_code text not null,
  decided_by uuid, at timestamptz not null, undone_at timestamptz,
  constraint order_refund_pkey primary key (member_id, id),
  constraint order_refund_member_id_fkey foreign key (member_id, order_id) references store_order (member_id, id),
  constraint order_refund_amount_check check (amount_minor > 0)
);
create index order_refund_order_id_idx on order_refund (member_id, order_id);

do $$
declare t text;
begin
  foreach t in array array['card_refund', 'dispute', 'order_refund'] loop
    execute format('alter table %I enable row level security', t);
    execute format('alter table %I force row level security', t);
    execute format('create policy own_rows on %I to app_member using (member_id = acting_member()) with check (member_id = acting_member())', t);
    execute format('create policy all_rows on %I to app_staff, app_system, ledger, current_user using (true) with check (true)', t);
    execute format('grant select on %I to app_member', t);
    execute format('grant select, insert, update on %I to app_staff, app_system', t);
  end loop;
end $$;
