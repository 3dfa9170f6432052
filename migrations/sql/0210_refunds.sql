-- Giving back what was charged, to the very grants that paid (books, moves 6 and 10).

-- Which part of which charge a refund gave back. `account` is what the charge had fed, `grant_id` the grant that had paid (none: the credit limit).
-- A correction of a refund takes lines back with negative amounts, so what is still open is always charged − sum(amount).
create table refund_line (
  member_id uuid not null, refund_id uuid not null, n smallint not null,
  original_id uuid not null, account smallint not null, grant_id uuid, amount_minor bigint not null,
  constraint refund_line_pkey primary key (member_id, refund_id, n),
  constraint refund_line_member_id_fkey foreign key (member_id, refund_id) references ledger_transaction (book_id, id),
  constraint refund_line_amount_check check (amount_minor <> 0)
);
create index refund_line_original_idx on refund_line (member_id, original_id);

grant create on schema public to ledger;
alter table refund_line owner to ledger;
grant select on refund_line to app_member, app_staff, app_system;
alter table refund_line enable row level security;
alter table refund_line force row level security;
create policy own_rows on refund_line to app_member using (member_id = acting_member()) with check (member_id = acting_member());
create policy all_rows on refund_line to app_staff, app_system, ledger, current_user using (true) with check (true);

-- What was given back can be taken up again: look for the reversals of an entry.
create index ledger_transaction_reverses_idx on ledger_transaction (book_id, reverses_id) where reverses_id is not null;

-- Where this lot's share of `bonus_discount` must stand: what was given away and is neither earned back nor expired, below zero; nothing once it is used up.
create function lot_level(l lot) returns bigint language sql immutable as $$
  select case when l.spent_minor + l.expired_minor < l.face_minor then l.earned_minor + l.expired_minor - l.discount_minor else 0 end
$$;

create type refund_request as (
  book_id uuid, id uuid, request_hash bytea, original_id uuid, kind text, at timestamptz, reopen_until timestamptz, memo text,
  accounts smallint[], sources smallint[], amounts bigint[]  -- each part: what the charge had fed, where that money stands now, how much of it
);
create type refund_result as (
  status text, account smallint, open_minor bigint, paid_minor bigint, bonus_minor bigint, receivable_minor bigint, balance_after_minor bigint
);

-- Give back parts of a charge: new, replayed, id_reused, not_a_charge, or too_much (with the account and what is still open on it).
-- Each part goes to the draws of the charge on that account in proportion to what is still open on them, by largest remainder.
create function refund_charge(r refund_request) returns refund_result
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  original ledger_transaction; first ledger_transaction; w wallet; out refund_result; line record; l lot; was lot;
  own smallint; owed bigint; part bigint; give bigint; residue bigint; n int; t int;
  line_account smallint[] := '{}'; line_grant uuid[] := '{}'; line_amount bigint[] := '{}';
  leg_source smallint[] := '{}'; leg_target smallint[] := '{}'; leg_amount bigint[] := '{}'; leg_grant uuid[] := '{}';
begin
  perform assert_own_books(array[r.book_id]);
  out := ('new', null, 0, 0, 0, 0, 0);
  select * into original from ledger_transaction x where x.book_id = r.book_id and x.id = r.original_id;
  if not found or not exists (select from posting p where p.book_id = r.book_id and p.transaction_id = r.original_id
      and p.source in (12, 20, 21) and p.target not in (12, 20, 21, 22, 44)) then
    out.status := 'not_a_charge';
    return out;
  end if;
  -- A member ends its own subscription with credit; what else is given back, staff or the system decides.
  if current_setting('role') = 'app_member' and original.kind <> 'subscription' then
    raise insufficient_privilege using message = 'a member may be given back its own subscriptions only';
  end if;
  select * into w from wallet x where x.member_id = r.book_id and x.currency = original.currency for no key update;
  select * into first from ledger_transaction x where x.book_id = r.book_id and x.id = r.id;
  if found then
    out.status := case when first.request_hash = r.request_hash then 'replayed' else 'id_reused' end;
    select coalesce(sum(p.amount_minor) filter (where p.target = 20), 0), coalesce(sum(p.amount_minor) filter (where p.target = 21), 0),
           coalesce(sum(p.amount_minor) filter (where p.target = 12), 0)
      into out.paid_minor, out.bonus_minor, out.receivable_minor from posting p where p.book_id = r.book_id and p.transaction_id = r.id;
    out.balance_after_minor := first.paid_after_minor + first.bonus_after_minor;
    return out;
  end if;
  if w.next_expiry_at <= r.at then
    perform expire_wallet(r.book_id, original.currency, r.at);
  end if;
  owed := w.receivable_minor;
  for t in 1..cardinality(r.amounts) loop
    assert r.amounts[t] > 0 and r.sources[t] not in (12, 20, 21, 22), 'a refund comes from outside the wallet';
    for line in
      with draws as (
        select p.source as kind, p.grant_id, min(p.n) as n, sum(p.amount_minor)::bigint as charged from posting p
        where p.book_id = r.book_id and p.transaction_id = r.original_id and p.target = r.accounts[t] and p.source in (12, 20, 21) group by 1, 2),
      given as (
        select f.grant_id, f.amount_minor as amount from refund_line f
          where f.member_id = r.book_id and f.original_id = r.original_id and f.account = r.accounts[t]
        union all select y.grant_id, y.amount from unnest(line_account, line_grant, line_amount) y(account, grant_id, amount) where y.account = r.accounts[t]),
      still as (
        select d.kind, d.grant_id, d.n, d.charged - coalesce((select sum(v.amount) from given v where v.grant_id is not distinct from d.grant_id), 0)::bigint as open
        from draws d),
      shares as (
        select s.*, sum(s.open) over () as all_open, r.amounts[t]::numeric * s.open as product from still s),
      floors as (
        select s.*, div(s.product, nullif(s.all_open, 0)) as base, row_number() over (order by mod(s.product, nullif(s.all_open, 0)) desc, s.n) as place from shares s)
      select f.kind, f.grant_id, f.all_open::bigint, (f.base + case when f.place <= r.amounts[t] - sum(f.base) over () then 1 else 0 end)::bigint as amount
      from floors f order by f.n
    loop
      out.open_minor := line.all_open;
      exit when line.all_open < r.amounts[t];
      continue when line.amount = 0;
      line_account := line_account || r.accounts[t]; line_grant := line_grant || line.grant_id; line_amount := line_amount || line.amount;
      if line.kind = 12 then  -- what the member still owes is lowered; what it has paid since comes back as paid money
        part := least(owed, line.amount);
        owed := owed - part; out.receivable_minor := out.receivable_minor + part; out.paid_minor := out.paid_minor + line.amount - part;
        leg_source := leg_source || r.sources[t] || r.sources[t]; leg_target := leg_target || 12::smallint || 20::smallint;
        leg_amount := leg_amount || part || (line.amount - part); leg_grant := leg_grant || null::uuid || r.id;
      else
        out.paid_minor := out.paid_minor + case line.kind when 20 then line.amount else 0 end;
        out.bonus_minor := out.bonus_minor + case line.kind when 21 then line.amount else 0 end;
        leg_source := leg_source || r.sources[t]; leg_target := leg_target || line.kind;
        leg_amount := leg_amount || line.amount; leg_grant := leg_grant || line.grant_id;
      end if;
    end loop;
    if out.open_minor < r.amounts[t] then
      return ('too_much', r.accounts[t], out.open_minor, 0, 0, 0, w.paid_minor + w.bonus_minor)::refund_result;
    end if;
    out.open_minor := 0;
  end loop;

  -- The discount goes back to where it was taken from: our own part of what is refunded, else of what was charged, else breakage.
  select coalesce(
      (select y.source from unnest(r.accounts, r.sources) with ordinality y(account, source, n) join account_kind k on k.code = y.account and k.is_own_part order by y.n limit 1),
      (select p.target from posting p join account_kind k on k.code = p.target and k.is_own_part
        where p.book_id = r.book_id and p.transaction_id = r.original_id and p.source in (12, 20, 21) order by p.n limit 1),
      44) into own;
  for line in select g.lot_id as id, sum(y.amount)::bigint as amount from unnest(leg_grant, leg_amount) y(grant_id, amount)
      join wallet_grant g on g.member_id = r.book_id and g.id = y.grant_id where g.lot_id is not null group by 1 order by 1 loop
    select * into was from lot x where x.member_id = r.book_id and x.id = line.id;
    give := greatest(0, was.earned_minor - round(was.discount_minor::numeric * (was.spent_minor - line.amount) / was.face_minor)::bigint);
    update lot x set spent_minor = x.spent_minor - line.amount, earned_minor = x.earned_minor - give where x.member_id = r.book_id and x.id = line.id returning * into l;
    residue := lot_level(was) - give - lot_level(l);  -- breakage of a lot that was used up is no breakage any more
    leg_source := leg_source || 22::smallint || case when residue > 0 then 22 else 44 end::smallint;
    leg_target := leg_target || own || case when residue > 0 then 44 else 22 end::smallint;
    leg_amount := leg_amount || give || abs(residue); leg_grant := leg_grant || null::uuid || null::uuid;
  end loop;

  -- Money that comes back to an empty grant lives for the grace period at least; a grant that still holds money keeps its date.
  update wallet_grant x set remaining_minor = x.remaining_minor + d.amount, is_open = true,
      expires_at = case when x.expires_at < r.reopen_until and (x.remaining_minor = 0 or x.expires_at <= r.at) then r.reopen_until else x.expires_at end
    from (select y.grant_id, sum(y.amount)::bigint as amount from unnest(leg_grant, leg_amount) y(grant_id, amount) where y.grant_id is not null group by 1) d
    where x.member_id = r.book_id and x.id = d.grant_id;
  select coalesce(sum(y.amount), 0) into part from unnest(leg_grant, leg_amount) y(grant_id, amount) where y.grant_id = r.id;
  if part > 0 then
    insert into wallet_grant (member_id, id, currency, lot_id, kind, granted_minor, remaining_minor, held_minor, priority, granted_at, expires_at, is_open)
      values (r.book_id, r.id, original.currency, null, 'paid', part, part, 0, 0, r.at, null, true);
  end if;
  update wallet x set paid_minor = x.paid_minor + out.paid_minor, bonus_minor = x.bonus_minor + out.bonus_minor,
      receivable_minor = x.receivable_minor - out.receivable_minor, last_seq = x.last_seq + 1, last_effective_at = greatest(x.last_effective_at, r.at),
      next_expiry_at = (select min(g.expires_at) from wallet_grant g where g.member_id = r.book_id and g.currency = original.currency and g.is_open)
    where x.member_id = r.book_id and x.currency = original.currency returning * into w;
  insert into ledger_transaction (book_id, id, kind, currency, seq, effective_at, recorded_at, request_hash, amount_minor, paid_after_minor, bonus_after_minor, reverses_id, memo)
    values (r.book_id, r.id, r.kind, original.currency, w.last_seq, w.last_effective_at, r.at, r.request_hash, out.paid_minor + out.bonus_minor,
      w.paid_minor, w.bonus_minor, r.original_id, r.memo);
  insert into posting (book_id, transaction_id, n, source, target, amount_minor, grant_id)
    select r.book_id, r.id, row_number() over (order by min(y.n)), y.source, y.target, sum(y.amount), y.grant_id
    from unnest(leg_source, leg_target, leg_amount, leg_grant) with ordinality y(source, target, amount, grant_id, n) where y.amount > 0 group by y.source, y.target, y.grant_id;
  insert into refund_line (member_id, refund_id, n, original_id, account, grant_id, amount_minor)
    select r.book_id, r.id, row_number() over (order by min(y.n)), r.original_id, y.account, y.grant_id, sum(y.amount)
    from unnest(line_account, line_grant, line_amount) with ordinality y(account, grant_id, amount, n) group by y.account, y.grant_id;
  out.balance_after_minor := w.paid_minor + w.bonus_minor;
  return out;
end $$;

-- As in 0003, but a grant that was reopened by a refund expires once more, under an id of its own.
create or replace function expire_wallet(m uuid, c text, at timestamptz) returns int
language plpgsql security definer set search_path = public, pg_temp as $$
declare g record; l lot; was lot; w wallet; tx uuid; earned bigint; residue bigint; done int := 0;
begin
  for g in select * from wallet_grant x where x.member_id = m and x.currency = c and x.is_open and x.expires_at <= expire_wallet.at and x.held_minor = 0
           order by x.expires_at, x.id
  loop
    earned := 0; residue := 0;
    if g.lot_id is not null then
      -- Paid money that lapses is revenue like a spend, so it earns the lot's discount back; bonus that lapses takes its discount with it.
      select * into was from lot x where x.member_id = m and x.id = g.lot_id;
      if g.kind = 'paid' then
        earned := greatest(0, round(was.discount_minor::numeric * (was.spent_minor + g.remaining_minor) / was.face_minor)::bigint - was.earned_minor);
      end if;
      update lot x set expired_minor = x.expired_minor + case g.kind when 'bonus' then g.remaining_minor else 0 end,
          spent_minor = x.spent_minor + case g.kind when 'paid' then g.remaining_minor else 0 end, earned_minor = x.earned_minor + earned
        where x.member_id = m and x.id = g.lot_id returning * into l;
      residue := lot_level(was) + earned + case g.kind when 'bonus' then g.remaining_minor else 0 end - lot_level(l);
    end if;
    update wallet_grant set remaining_minor = 0, is_open = false where member_id = m and id = g.id;
    update wallet set paid_minor = paid_minor - case g.kind when 'paid' then g.remaining_minor else 0 end,
                      bonus_minor = bonus_minor - case g.kind when 'bonus' then g.remaining_minor else 0 end,
                      last_seq = last_seq + 1, last_effective_at = greatest(last_effective_at, g.expires_at)
      where member_id = m and currency = c returning * into w;
    tx := md5('expiry:' || g.id || ':' || w.last_seq)::uuid;
    insert into ledger_transaction (book_id, id, kind, currency, seq, effective_at, recorded_at, request_hash, amount_minor, paid_after_minor, bonus_after_minor)
      values (m, tx, 'expiry', c, w.last_seq, w.last_effective_at, expire_wallet.at, sha256(convert_to(tx::text, 'UTF8')), -g.remaining_minor, w.paid_minor, w.bonus_minor);
    insert into posting (book_id, transaction_id, n, source, target, amount_minor, grant_id)
      select m, tx, 1, case g.kind when 'paid' then 20 else 21 end,
             case when g.kind = 'paid' then 44 when g.lot_id is not null then 22 else 53 end, g.remaining_minor, g.id;
    if earned > 0 then
      insert into posting values (m, tx, 2, 44, 22, earned, null);
    end if;
    if residue <> 0 then  -- the lot is used up: what was earned back too much is breakage
      insert into posting values (m, tx, 3, case when residue > 0 then 22 else 44 end, case when residue > 0 then 44 else 22 end, abs(residue), null);
    end if;
    done := done + 1;
  end loop;
  update wallet set next_expiry_at = (select min(expires_at) from wallet_grant x where x.member_id = m and x.currency = c and x.is_open)
    where member_id = m and currency = c;
  return done;
end $$;

alter function lot_level(lot) owner to ledger;
alter function refund_charge(refund_request) owner to ledger;
revoke execute on function refund_charge(refund_request) from public;
revoke create on schema public from ledger;
grant execute on function refund_charge(refund_request) to app_member, app_staff, app_system;
