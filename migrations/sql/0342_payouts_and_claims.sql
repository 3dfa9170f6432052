-- What partners are owed and paid (books, moves 5 and 6), and claims of buyers for their money back (decision 0048).
create table refund_claim (
  member_id uuid not null, id uuid not null, request_hash bytea not null, order_id uuid not null, listing_id uuid not null, publisher_id uuid not null,
  currency text not null, amount_minor bigint not null, reason text not null, state text not null, filed_by uuid, filed_at timestamptz not null,
  answer_by timestamptz not null, answer text, answered_at timestamptz, decide_by timestamptz not null, decision_minor bigint, licence text,
  decision_reason text, decided_by uuid, decided_name text, decided_at timestamptz, refund_id uuid,
  constraint refund_claim_pkey primary key (member_id, id),
  constraint refund_claim_member_id_order_id_fkey foreign key (member_id, order_id) references store_order (member_id, id),
  constraint refund_claim_listing_id_fkey foreign key (listing_id) references listing (id),
  constraint refund_claim_publisher_id_fkey foreign key (publisher_id) references publisher (id),
  constraint refund_claim_state_check check (state in ('open', 'escalated', 'approving', 'accepted', 'rejected', 'withdrawn')
    and (state in ('open', 'escalated')) = (decided_at is null)),
  constraint refund_claim_amount_check check (amount_minor > 0 and (decision_minor is null or decision_minor > 0)),
  constraint refund_claim_licence_check check (licence in ('revoke', 'keep'))
);
create unique index refund_claim_one_open_idx on refund_claim (member_id, order_id) where state in ('open', 'escalated', 'approving');
create index refund_claim_publisher_id_idx on refund_claim (publisher_id, filed_at);
create index refund_claim_answer_by_idx on refund_claim (answer_by) where state = 'open';

-- One row an order whose refund window is over: what became due to the partner, as it stood then.
create table partner_release (
  member_id uuid not null, order_id uuid not null, publisher_id uuid not null, listing_id uuid not null, currency text not null, sold_at timestamptz not null,
  total_minor bigint not null, refunded_minor bigint not null, tax_minor bigint not null, commission_minor bigint not null, share_minor bigint not null,
  released_at timestamptz not null, entry_id uuid not null,
  constraint partner_release_pkey primary key (member_id, order_id),
  constraint partner_release_member_id_order_id_fkey foreign key (member_id, order_id) references store_order (member_id, id),
  constraint partner_release_publisher_id_fkey foreign key (publisher_id) references publisher (id),
  constraint partner_release_sum_check check (total_minor = refunded_minor + tax_minor + commission_minor + share_minor and share_minor >= 0)
);
create unique index partner_release_entry_idx on partner_release (publisher_id, entry_id);

-- A statement of a partner's book: the entries after `after_seq` up to `until_seq`, and what is paid of the sum.
create table payout (
  id uuid not null, publisher_id uuid not null, currency text not null, after_seq bigint not null, until_seq bigint not null, since timestamptz,
  until timestamptz not null, opening_minor bigint not null, released_minor bigint not null, taken_back_minor bigint not null, other_minor bigint not null,
  closing_minor bigint not null, amount_minor bigint not null, state text not null, prepared_by uuid not null, prepared_name text not null,
  prepared_at timestamptz not null, paid_by uuid, paid_name text, paid_at timestamptz, bank_reference text,
  constraint payout_pkey primary key (id),
  constraint payout_publisher_id_fkey foreign key (publisher_id) references publisher (id),
  constraint payout_state_check check (state in ('prepared', 'paid', 'carried', 'discarded') and (state = 'paid') = (paid_at is not null)
    and (state = 'paid') = (bank_reference is not null)),
  constraint payout_sum_check check (closing_minor = opening_minor + released_minor - taken_back_minor + other_minor and amount_minor between 0 and greatest(closing_minor, 0)
    and (state = 'carried') <= (amount_minor = 0))
);
create unique index payout_one_prepared_idx on payout (publisher_id, currency) where state = 'prepared';
create index payout_publisher_id_idx on payout (publisher_id, until);

do $$
declare t text;
begin
  foreach t in array array['refund_claim', 'partner_release', 'payout'] loop
    execute format('alter table %I enable row level security', t);
    execute format('alter table %I force row level security', t);
    execute format('create policy all_rows on %I to app_staff, app_system, ledger, current_user using (true) with check (true)', t);
    execute format('create policy own_publisher on %I for select to app_publisher using (publisher_id = nullif(current_setting(''app.publisher_id'', true), '''')::uuid)', t);
    execute format('grant select on %I to app_publisher', t);
    execute format('grant select, insert on %I to app_staff, app_system', t);
  end loop;
  foreach t in array array['refund_claim', 'partner_release'] loop
    execute format('create policy own_rows on %I to app_member using (member_id = acting_member()) with check (member_id = acting_member())', t);
  end loop;
  -- A partner reads its own book.
  foreach t in array array['ledger_transaction', 'posting'] loop
    execute format('grant select on %I to app_publisher', t);
    execute format('create policy own_book on %I for select to app_publisher using (book_id = nullif(current_setting(''app.publisher_id'', true), '''')::uuid)', t);
  end loop;
end $$;
grant select, insert on refund_claim to app_member;
grant update (state, decided_at) on refund_claim to app_member;  -- it may take its claim back
grant update on refund_claim, payout to app_staff, app_system;
