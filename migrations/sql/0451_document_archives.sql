-- Zips of many documents, prepared in the background for finance. The row says what is in it and how far it is; the file lies in `archive_dir`.
create table document_archive (
  id uuid not null, currency text not null, kind text not null, since timestamptz, until timestamptz not null, words text not null, month text not null,
  state text not null, total bigint not null, done bigint not null, parts bigint not null, reached text, size_bytes bigint,
  failure text, failed_number text, asked_by uuid, asked_by_name text not null, asked_at timestamptz not null,
  holder uuid, held_at timestamptz, losses bigint not null, finished_at timestamptz, expires_at timestamptz,
  constraint document_archive_pkey primary key (id),
  constraint document_archive_state_check check (state in ('queued', 'running', 'ready', 'failed', 'removed', 'expired')
    and (state = 'failed') = (failure is not null) and (holder is null) = (held_at is null) and (holder is null or state = 'running')
    and (state not in ('ready', 'expired') or size_bytes is not null and finished_at is not null and expires_at is not null)),
  constraint document_archive_done_check check (total > 0 and done >= 0 and parts >= 0 and losses >= 0)
);
create index document_archive_asked_at_idx on document_archive (asked_at);
create index document_archive_open_idx on document_archive (id) where state in ('queued', 'running', 'ready');
grant select, insert, update on document_archive to app_staff, app_system;
