-- A review that breaks the rules can be reported by whoever reads it, and hidden by a reviewer with a reason that its author is told.
alter table review add column hidden_at timestamptz;
alter table review add column hidden_reason text;

create table review_report (
  member_id uuid not null, id uuid not null, listing_id uuid not null, author_id uuid not null, reason text not null, note text not null,
  at timestamptz not null, decision text, decided_at timestamptz,
  constraint review_report_pkey primary key (member_id, id),
  constraint review_report_member_id_fkey foreign key (member_id) references member (id),
  constraint review_report_author_id_fkey foreign key (author_id, listing_id) references review (member_id, listing_id),
  constraint review_report_reason_check check (reason in ('abuse', 'advertising', 'private_data', 'off_topic', 'untrue')),
  constraint review_report_decision_check check (decision in ('hidden', 'kept') and decided_at is not null or decision is null and decided_at is null)
);
create unique index review_report_open_idx on review_report (member_id, listing_id, author_id) where decision is null;
create index review_report_waiting_idx on review_report (at) where decision is null;

alter table review_report enable row level security;
alter table review_report force row level security;
create policy own_rows on review_report to app_member using (member_id = acting_member()) with check (member_id = acting_member());
create policy all_rows on review_report to app_staff, app_system, ledger, current_user using (true) with check (true);
grant select, insert on review_report to app_member;
grant select, update on review_report to app_staff, app_system;

-- Hiding is the reviewer's: a member writes its words and stars, nothing else.
revoke insert, update on review from app_member;
grant insert (member_id, listing_id, version, stars, text, author, at, answer), update (version, stars, text, author, at) on review to app_member;
