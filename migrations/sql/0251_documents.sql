-- What a document says about its seller, beyond its name.
alter table legal_entity add column name_en text, add column tax_number text, add column address_zh text, add column address_en text,
  add column phone text, add column email text, add column invoice_grouping text not null default 'charge';
alter table legal_entity add constraint legal_entity_invoice_grouping_check check (invoice_grouping in ('charge', 'month'));

-- Whom a member's documents are made out to. A change is a new row, so that it can be seen who wrote what when; the last one holds.
create table billing_details (
  member_id uuid not null, version bigint not null, title text not null, tax_number text, country text not null, address text, phone text, email text,
  language text not null, invoice_grouping text, order_number text, cost_centre text, set_at timestamptz not null, set_by uuid, set_by_name text not null,
  constraint billing_details_pkey primary key (member_id, version),
  constraint billing_details_member_id_fkey foreign key (member_id) references member (id),
  constraint billing_details_language_check check (language in ('zh', 'en')),
  constraint billing_details_invoice_grouping_check check (invoice_grouping in ('charge', 'month'))
);

-- Receipts, tax invoices and credit notes: numbered without gaps per legal entity, kind and year, written once by issue_documents, never changed.
-- `content` is the whole snapshot; the columns beside it are what is searched and added up, and `flask ledger verify` holds them to it.
create table document (
  member_id uuid not null, id uuid not null, entity_id uuid not null, kind text not null, year bigint not null, n bigint not null, number text not null,
  currency text not null, issued_at timestamptz not null, supplied_from timestamptz not null, supplied_until timestamptz not null,
  net_minor bigint not null, tax_minor bigint not null, gross_minor bigint not null, buyer text not null, corrects_id uuid,
  content jsonb not null, content_hash bytea not null,
  constraint document_pkey primary key (member_id, id),
  constraint document_member_id_fkey foreign key (member_id) references member (id),
  constraint document_entity_id_fkey foreign key (entity_id) references legal_entity (id),
  constraint document_corrects_fkey foreign key (member_id, corrects_id) references document (member_id, id),
  constraint document_kind_check check (kind in ('receipt', 'invoice', 'credit_note')),
  constraint document_corrects_check check ((kind = 'credit_note') = (corrects_id is not null)),
  constraint document_amounts_check check (gross_minor > 0 and tax_minor >= 0 and net_minor + tax_minor = gross_minor)
);
create unique index document_number_idx on document (entity_id, kind, year, n);
create index document_issued_idx on document (issued_at, id);
create index document_member_idx on document (member_id, issued_at, id);
create index document_corrects_idx on document (member_id, corrects_id) where corrects_id is not null;

-- Which ledger transaction stands on which document. A transaction stands on one only: its parts are numbered from 1.
create table document_line (
  member_id uuid not null, transaction_id uuid not null, part smallint not null, document_id uuid not null, n smallint not null,
  net_minor bigint not null, tax_minor bigint not null, gross_minor bigint not null, rate_bp bigint,
  constraint document_line_pkey primary key (member_id, transaction_id, part),
  constraint document_line_document_fkey foreign key (member_id, document_id) references document (member_id, id),
  constraint document_line_transaction_fkey foreign key (member_id, transaction_id) references ledger_transaction (book_id, id),
  constraint document_line_amounts_check check (net_minor + tax_minor = gross_minor and gross_minor >= 0)
);
create unique index document_line_document_idx on document_line (member_id, document_id, n);

-- The last number given out. The row is locked from the number's taking to the commit, so a rollback gives it back.
create table document_counter (
  entity_id uuid not null, kind text not null, year bigint not null, last_n bigint not null,
  constraint document_counter_pkey primary key (entity_id, kind, year),
  constraint document_counter_entity_id_fkey foreign key (entity_id) references legal_entity (id)
);

-- How far a wallet's entries have been looked at, by its own sequence number, which has no gaps and follows the commits.
create table document_position (
  member_id uuid not null, currency text not null, last_seq bigint not null,
  constraint document_position_pkey primary key (member_id, currency),
  constraint document_position_wallet_fkey foreign key (member_id, currency) references wallet (member_id, currency)
);

-- Entries that wait for their document: charges of members who get one invoice a month, and refunds of such charges.
create table document_waiting (
  member_id uuid not null, transaction_id uuid not null, entity_id uuid not null, due_at timestamptz not null,
  constraint document_waiting_pkey primary key (member_id, transaction_id),
  constraint document_waiting_transaction_fkey foreign key (member_id, transaction_id) references ledger_transaction (book_id, id)
);
create index document_waiting_due_idx on document_waiting (entity_id, due_at, member_id);

do $$
declare t text;
begin
  foreach t in array array['billing_details', 'document', 'document_line', 'document_position', 'document_waiting'] loop
    execute format('alter table %I enable row level security', t);
    execute format('alter table %I force row level security', t);
    execute format('create policy own_rows on %I to app_member using (member_id = acting_member()) with check (member_id = acting_member())', t);
    execute format('create policy all_rows on %I to app_staff, app_system, ledger, current_user using (true) with check (true)', t);
    execute format('grant select on %I to app_member, app_staff, app_system', t);
  end loop;
end $$;
grant insert on billing_details to app_member, app_staff, app_system;
grant insert, update on document_position to app_system;
grant insert, delete on document_waiting to app_system;
grant select on document_counter to app_staff, app_system;

grant create on schema public to ledger;
alter table document owner to ledger;
alter table document_line owner to ledger;
alter table document_counter owner to ledger;
grant select on legal_entity to ledger;

-- Number and write documents of one entity: all of them, or none. `formats` gives each kind's number as INV-{year}-{number}; the year is the
-- entity's own at `at`. Each document is its content, with `id`, `member_id`, `corrects_id`, `supplied_from`, `supplied_until`, and lines within.
create function issue_documents(entity uuid, at timestamptz, formats jsonb, digits int, documents jsonb) returns bigint
language plpgsql security definer set search_path = public, pg_temp as $$
declare k text; y bigint; first bigint; written bigint := 0; done bigint;
begin
  select extract(year from issue_documents.at at time zone e.timezone) into y from legal_entity e where e.id = entity;
  for k in select distinct x.value ->> 'kind' from jsonb_array_elements(documents) x order by 1 desc loop  -- receipts, invoices, then what corrects them
    insert into document_counter values (entity, k, y, 0) on conflict do nothing;
    select c.last_n into first from document_counter c where c.entity_id = entity and c.kind = k and c.year = y for no key update;
    insert into document (member_id, id, entity_id, kind, year, n, number, currency, issued_at, supplied_from, supplied_until, net_minor, tax_minor,
        gross_minor, buyer, corrects_id, content, content_hash)
      select (c.content ->> 'member_id')::uuid, (c.content ->> 'id')::uuid, entity, k, y, c.n, c.content ->> 'number', c.content ->> 'currency', issue_documents.at,
        (c.content ->> 'supplied_from')::timestamptz, (c.content ->> 'supplied_until')::timestamptz, (c.content ->> 'net_minor')::bigint,
        (c.content ->> 'tax_minor')::bigint, (c.content ->> 'gross_minor')::bigint, c.content #>> '{buyer,title}', (c.content ->> 'corrects_id')::uuid,
        c.content, sha256(convert_to(c.content::text, 'UTF8'))
      from (
        select s.n, s.value || jsonb_build_object('number', replace(replace(formats ->> k, '{year}', y::text), '{number}',
            case when length(s.n::text) > digits then s.n::text else lpad(s.n::text, digits, '0') end), 'issued_at', to_jsonb(issue_documents.at)) as content
        from (
          select first + row_number() over (order by x.place) as n, x.value
          from jsonb_array_elements(documents) with ordinality x(value, place) where x.value ->> 'kind' = k
        ) s
      ) c;
    get diagnostics done = row_count;
    update document_counter c set last_n = first + done where c.entity_id = entity and c.kind = k and c.year = y;
    written := written + done;
  end loop;
  insert into document_line (member_id, transaction_id, part, document_id, n, net_minor, tax_minor, gross_minor, rate_bp)
    select (x.value ->> 'member_id')::uuid, l.transaction_id, l.part, (x.value ->> 'id')::uuid, l.n, l.net_minor, l.tax_minor, l.gross_minor, l.rate_bp
    from jsonb_array_elements(documents) x(value),
      jsonb_to_recordset(x.value -> 'lines') l(transaction_id uuid, part smallint, n smallint, net_minor bigint, tax_minor bigint, gross_minor bigint, rate_bp bigint);
  return written;
end $$;
alter function issue_documents owner to ledger;
revoke create on schema public from ledger;
revoke execute on function issue_documents from public;
grant execute on function issue_documents to app_system;
