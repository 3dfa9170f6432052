-- Partners' shares become due in batches (books, move 5, first part): the refund window of each charge closes, and what was not given back of the partner's
-- share leaves the member's book and stands in the partner's, in the entries and in the order in which one charge after another would write them.
create type share_release as (member_id uuid, charge_id uuid, partner_id uuid, currency text, id uuid, request_hash bytea);
create type released_share as (
  member_id uuid, charge_id uuid, charged_minor bigint, open_minor bigint, tax_minor bigint,  -- `open`: not given back
  share_minor bigint,  -- what of the open part is the partner's
  is_new boolean       -- an entry was written now
);
create function release_shares(releases share_release[], at timestamptz) returns setof released_share
language plpgsql security definer set search_path = public, pg_temp set plan_cache_mode = force_custom_plan set enable_seqscan = off as $$
#variable_conflict use_column
begin
  perform assert_own_books(array(select r.member_id from unnest(releases) r));
  -- Wallets in member order, then the partners' positions: as in every other move between the two.
  perform from wallet w join (select distinct r.member_id, r.currency from unnest(releases) r) d on d.member_id = w.member_id and d.currency = w.currency
    order by w.member_id, w.currency for no key update of w;
  perform expire_wallet(w.member_id, w.currency, release_shares.at)
    from (select distinct r.member_id, r.currency from unnest(releases) r) d join wallet w on w.member_id = d.member_id and w.currency = d.currency
    where w.next_expiry_at <= release_shares.at;
  insert into ledger_position (book_id, currency, last_seq)
    select distinct r.partner_id, r.currency, 0 from unnest(releases) r order by 1, 2 on conflict do nothing;
  perform from ledger_position p join (select distinct r.partner_id, r.currency from unnest(releases) r) d on d.partner_id = p.book_id and d.currency = p.currency
    order by p.book_id, p.currency for no key update of p;
  if exists (select from unnest(releases) r join ledger_transaction t on t.book_id = r.member_id and t.id = r.id where t.request_hash <> r.request_hash) then
    raise unique_violation using message = 'ledger transaction id reused with other content';
  end if;
  assert not exists (select from unnest(releases) r where not exists (select from posting p where p.book_id = r.member_id and p.transaction_id = r.charge_id)),
    'a share is a part of a charge';

  return query
  with given as materialized (
    select r.*, t.id is null as is_open from unnest(releases) with ordinality r(member_id, charge_id, partner_id, currency, id, request_hash, n)
    left join ledger_transaction t on t.book_id = r.member_id and t.id = r.id
  ), fed as (  -- what each charge fed its accounts with, less what was given back
    select g.n, p.target as account, sum(p.amount_minor)::bigint as charged,
      (sum(p.amount_minor) - coalesce((select sum(f.amount_minor) from refund_line f
        where f.member_id = g.member_id and f.original_id = g.charge_id and f.account = p.target), 0))::bigint as still
    from given g join posting p on p.book_id = g.member_id and p.transaction_id = g.charge_id
    where p.source in (12, 20, 21) and p.target not in (12, 20, 21, 22, 44) group by g.n, g.member_id, g.charge_id, p.target
  ), told as materialized (
    select g.*, f.charged, f.still, f.tax, f.share, g.is_open and f.share > 0 as is_new from given g
    join (select x.n, sum(x.charged)::bigint as charged, sum(x.still)::bigint as still, coalesce(sum(x.still) filter (where x.account = 27), 0)::bigint as tax,
            coalesce(sum(x.still) filter (where x.account = 28), 0)::bigint as share from fed x group by 1) f on f.n = g.n
  ), due as materialized (
    select t.*, row_number() over (partition by t.member_id, t.currency order by t.n) as step,
      row_number() over (partition by t.partner_id, t.currency order by t.n) as partner_step
    from told t where t.is_new
  ), wallets as (
    update wallet w set last_seq = w.last_seq + d.steps, last_effective_at = greatest(w.last_effective_at, release_shares.at)
      from (select x.member_id, x.currency, count(*) as steps from due x group by 1, 2) d where w.member_id = d.member_id and w.currency = d.currency
      returning w.member_id, w.currency, w.last_seq - d.steps as seq, w.last_effective_at, w.paid_minor, w.bonus_minor
  ), positions as (
    update ledger_position p set last_seq = p.last_seq + d.steps
      from (select x.partner_id, x.currency, count(*) as steps from due x group by 1, 2) d where p.book_id = d.partner_id and p.currency = d.currency
      returning p.book_id, p.currency, p.last_seq - d.steps as seq
  ), entries as (
    insert into ledger_transaction (book_id, id, kind, currency, seq, effective_at, recorded_at, request_hash, amount_minor, paid_after_minor, bonus_after_minor)
      select d.member_id, d.id, 'partner_share', d.currency, w.seq + d.step, w.last_effective_at, release_shares.at, d.request_hash, 0, w.paid_minor, w.bonus_minor
      from due d join wallets w on w.member_id = d.member_id and w.currency = d.currency
      union all
      select d.partner_id, d.id, 'partner_share', d.currency, p.seq + d.partner_step, release_shares.at, release_shares.at, d.request_hash, 0, null, null
      from due d join positions p on p.book_id = d.partner_id and p.currency = d.currency
  ), postings as (  -- partner_pending → interbook → partner_due
    insert into posting (book_id, transaction_id, n, source, target, amount_minor)
      select d.member_id, d.id, 1, 28, 90, d.share from due d union all select d.partner_id, d.id, 1, 90, 29, d.share from due d
  )
  select t.member_id, t.charge_id, t.charged, t.still, t.tax, t.share, t.is_new from told t order by t.n;
end $$;

grant create on schema public to ledger;
alter function release_shares(share_release[], timestamptz) owner to ledger;
revoke execute on function release_shares(share_release[], timestamptz) from public;
revoke create on schema public from ledger;
grant execute on function release_shares(share_release[], timestamptz) to app_staff, app_system;
