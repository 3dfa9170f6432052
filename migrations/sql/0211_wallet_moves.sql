-- Moves that staff and jobs decide upon: money back to a card, disputes, corrections. What is moved is decided by the caller under the wallet's
-- lock; that books balance, nothing goes below zero and lots stay consistent is assured here.

-- A lot whose money all went back to the card has nothing left.
alter table lot drop constraint lot_face_check;
alter table lot add constraint lot_face_check check (face_minor >= 0 and discount_minor between 0 and face_minor);

-- Hold a book until the transaction ends (its wallet, with what is due by `at` expired, or its position), so that the caller may look and decide.
create function lock_wallet(m uuid, c text, at timestamptz) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
declare w wallet;
begin
  perform assert_own_books(array[m]);
  select * into w from wallet x where x.member_id = m and x.currency = c for no key update;
  if not found then
    insert into ledger_position (book_id, currency, last_seq) values (m, c, 0) on conflict do nothing;
    perform from ledger_position p where p.book_id = m and p.currency = c for no key update;
  elsif w.next_expiry_at <= lock_wallet.at then
    perform expire_wallet(m, c, lock_wallet.at);
  end if;
end $$;

create type wallet_move as (
  book_id uuid, id uuid, request_hash bytea, kind text, currency text, at timestamptz, reopen_until timestamptz, memo text, reverses_id uuid,
  own smallint,         -- the account that earned a lot's discount, where these moves undo or redo a spend
  takes_back boolean,   -- bonus ↔ discount here is bonus taken back or restored, not expired
  state text,           -- the wallet's new state, or null
  sources smallint[], targets smallint[], amounts bigint[], grants uuid[]
);

-- Write moves with everything that follows from them: new, replayed, id_reused, or insufficient (a grant has less to spare).
-- What a move with a grant does to its lot follows from the other account: the payment side and bonus taken back change the lot itself (face,
-- discount), lapsed bonus is expired, everything else is spent (and the payment side too, where a spend is undone). What is earned back never stays above the lot's share of what is spent; what the
-- discount account holds beyond the lot's level is breakage.
create function adjust_wallet(r wallet_move) returns text
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  first ledger_transaction; w wallet; d record; l lot; was lot; want bigint; earned bigint; residue bigint; position bigint; effective timestamptz;
  leg_source smallint[] := r.sources; leg_target smallint[] := r.targets; leg_amount bigint[] := r.amounts; leg_grant uuid[] := r.grants;
  paid bigint; bonus bigint; owed bigint; is_short boolean;
begin
  perform assert_own_books(array[r.book_id]);
  select * into w from wallet x where x.member_id = r.book_id and x.currency = r.currency for no key update;
  if not found then
    insert into ledger_position (book_id, currency, last_seq) values (r.book_id, r.currency, 0) on conflict do nothing;
    perform from ledger_position p where p.book_id = r.book_id and p.currency = r.currency for no key update;
  end if;
  select * into first from ledger_transaction x where x.book_id = r.book_id and x.id = r.id;
  if found then
    return case when first.request_hash = r.request_hash then 'replayed' else 'id_reused' end;
  end if;
  assert not exists (select from unnest(r.sources, r.targets, r.grants) m(source, target, grant_id) left join wallet_grant g
      on g.member_id = r.book_id and g.currency = r.currency and g.id = m.grant_id
      where (m.source in (20, 21) or m.target in (20, 21)) is distinct from (m.grant_id is not null) or (m.source in (20, 21) and m.target in (20, 21))
        or m.grant_id is not null and case g.kind when 'paid' then 20 when 'bonus' then 21 else 0 end not in (m.source, m.target)),
    'wallet accounts move with a grant of their kind';
  if w.next_expiry_at <= r.at then
    perform expire_wallet(r.book_id, r.currency, r.at);
  end if;
  select bool_or(g.remaining_minor - g.held_minor + x.amount < 0) into is_short
    from (select m.grant_id, sum(case when m.target in (20, 21) then m.amount else -m.amount end) as amount
          from unnest(r.targets, r.amounts, r.grants) m(target, amount, grant_id) where m.grant_id is not null group by 1) x
    join wallet_grant g on g.member_id = r.book_id and g.id = x.grant_id;
  if is_short then
    return 'insufficient';
  end if;

  for d in
    select g.lot_id, sum(case when x.other in (10, 11, 23, 25, 90) and r.own is null or x.other = 22 and r.takes_back then x.amount else 0 end)::bigint as face,
      sum(case when x.other = 22 and r.takes_back then x.amount else 0 end)::bigint as discount,
      sum(case when x.other = 22 and not r.takes_back then -x.amount else 0 end)::bigint as expired,
      sum(case when x.other not in (10, 11, 22, 23, 25, 90) or x.other <> 22 and r.own is not null then -x.amount else 0 end)::bigint as spent,
      sum(case when x.other = 22 then -x.amount else 0 end)::bigint as posted
    from (select m.grant_id, case when m.target in (20, 21) then m.source else m.target end as other, case when m.target in (20, 21) then m.amount else -m.amount end as amount
          from unnest(r.sources, r.targets, r.amounts, r.grants) m(source, target, amount, grant_id) where m.grant_id is not null) x
    join wallet_grant g on g.member_id = r.book_id and g.id = x.grant_id where g.lot_id is not null group by 1 order by 1
  loop
    select * into was from lot x where x.member_id = r.book_id and x.id = d.lot_id;
    want := case when was.face_minor + d.face = 0 then 0
      else round((was.discount_minor + d.discount)::numeric * (was.spent_minor + d.spent) / (was.face_minor + d.face))::bigint end;
    earned := case when was.earned_minor > want or r.own is not null and d.spent > 0 then want - was.earned_minor else 0 end;
    update lot x set face_minor = x.face_minor + d.face, discount_minor = x.discount_minor + d.discount, spent_minor = x.spent_minor + d.spent,
        expired_minor = x.expired_minor + d.expired, earned_minor = x.earned_minor + earned
      where x.member_id = r.book_id and x.id = d.lot_id returning * into l;
    residue := lot_level(was) + d.posted + earned - lot_level(l);
    leg_source := leg_source || case when earned > 0 then r.own else 22 end::smallint || case when residue > 0 then 22 else 44 end::smallint;
    leg_target := leg_target || case when earned > 0 then 22 else coalesce(r.own, 44) end::smallint || case when residue > 0 then 44 else 22 end::smallint;
    leg_amount := leg_amount || abs(earned) || abs(residue);
    leg_grant := leg_grant || null::uuid || null::uuid;
  end loop;

  update wallet_grant x set remaining_minor = x.remaining_minor + m.amount, is_open = x.remaining_minor + m.amount > 0,
      expires_at = case when m.amount > 0 and x.expires_at < r.reopen_until and (x.remaining_minor = 0 or x.expires_at <= r.at) then r.reopen_until else x.expires_at end
    from (select y.grant_id, sum(case when y.target in (20, 21) then y.amount else -y.amount end)::bigint as amount
          from unnest(r.targets, r.amounts, r.grants) y(target, amount, grant_id) where y.grant_id is not null group by 1) m
    where x.member_id = r.book_id and x.id = m.grant_id;
  select coalesce(sum(case 20 when m.target then m.amount when m.source then -m.amount end), 0), coalesce(sum(case 21 when m.target then m.amount when m.source then -m.amount end), 0),
      coalesce(sum(case 12 when m.source then m.amount when m.target then -m.amount end), 0)
    into paid, bonus, owed from unnest(r.sources, r.targets, r.amounts) m(source, target, amount);
  update wallet x set paid_minor = x.paid_minor + paid, bonus_minor = x.bonus_minor + bonus, receivable_minor = x.receivable_minor + owed,
      state = coalesce(r.state, x.state), last_seq = x.last_seq + 1, last_effective_at = greatest(x.last_effective_at, r.at),
      next_expiry_at = next_expiry(r.book_id, r.currency)
    where x.member_id = r.book_id and x.currency = r.currency returning * into w;
  position := w.last_seq; effective := coalesce(w.last_effective_at, r.at);
  if not found then
    update ledger_position p set last_seq = p.last_seq + 1 where p.book_id = r.book_id and p.currency = r.currency returning p.last_seq into position;
  end if;
  insert into ledger_transaction (book_id, id, kind, currency, seq, effective_at, recorded_at, request_hash, amount_minor, paid_after_minor, bonus_after_minor, reverses_id, memo)
    values (r.book_id, r.id, r.kind, r.currency, position, effective, r.at, r.request_hash, paid + bonus, w.paid_minor, w.bonus_minor, r.reverses_id, r.memo);
  insert into posting (book_id, transaction_id, n, source, target, amount_minor, grant_id)
    select r.book_id, r.id, row_number() over (order by y.n), y.source, y.target, y.amount, y.grant_id
    from unnest(leg_source, leg_target, leg_amount, leg_grant) with ordinality y(source, target, amount, grant_id, n) where y.amount > 0 and y.source <> y.target;
  if r.reverses_id is not null then  -- a refund that is undone may be given back again
    insert into refund_line (member_id, refund_id, n, original_id, account, grant_id, amount_minor)
      select f.member_id, r.id, f.n, f.original_id, f.account, f.grant_id, -f.amount_minor from refund_line f
      where f.member_id = r.book_id and f.refund_id = r.reverses_id and r.kind = 'correction';
  end if;
  return 'new';
end $$;

grant create on schema public to ledger;
alter function lock_wallet(uuid, text, timestamptz) owner to ledger;
alter function adjust_wallet(wallet_move) owner to ledger;
revoke execute on function lock_wallet(uuid, text, timestamptz), adjust_wallet(wallet_move) from public;
revoke create on schema public from ledger;
grant execute on function lock_wallet(uuid, text, timestamptz), adjust_wallet(wallet_move) to app_staff, app_system;
