-- The only functions that write the ledger. They belong to the role `ledger` and run with its rights; callers have none on the tables.
-- Account codes: the order of the chart in billing/ledger/accounts.py.
insert into account_kind (code, name, category, is_own_part) values
  (10, 'stripe_clearing', 'asset', false), (11, 'bank', 'asset', false), (12, 'member_receivable', 'asset', false),
  (13, 'dispute_receivable', 'asset', false), (14, 'partner_receivable', 'asset', false),
  (20, 'wallet_paid', 'liability', false), (21, 'wallet_bonus', 'liability', false), (22, 'bonus_discount', 'liability', false),
  (23, 'refund_pending', 'liability', false), (24, 'refund_liability', 'liability', false), (25, 'dispute_reserve', 'liability', false),
  (26, 'deferred_revenue', 'liability', true), (27, 'tax_payable', 'liability', false), (28, 'partner_pending', 'liability', false),
  (29, 'partner_due', 'liability', false), (30, 'unclaimed_property', 'liability', false),
  (40, 'subscription_revenue', 'income', true), (41, 'store_revenue', 'income', true), (42, 'service_revenue', 'income', true),
  (43, 'commission_revenue', 'income', true), (44, 'breakage_revenue', 'income', false),
  (50, 'payment_fees', 'expense', false), (51, 'dispute_fees', 'expense', false), (52, 'bad_debt', 'expense', false),
  (53, 'goodwill', 'expense', false),
  (90, 'interbook', 'between', false);

create type charge_request as (
  book_id uuid, id uuid, request_hash bytea, kind text, currency text, at timestamptz, memo text,
  targets smallint[], amounts bigint[], bonus_limits bigint[]  -- each target: account, amount, how much of it bonus may pay
);
create type charge_result as (
  book_id uuid, id uuid, status text, missing_minor bigint, paid_minor bigint, bonus_minor bigint, balance_after_minor bigint
);

-- A member's transaction may touch its own book only, whatever the caller asks for.
create function assert_own_books(books uuid[]) returns void language plpgsql stable as $$
begin
  if current_setting('role') = 'app_member' and exists (select from unnest(books) b where b is distinct from acting_member()) then
    raise insufficient_privilege using message = 'a member may touch its own book only';
  end if;
end $$;

-- Expire what has expired in one wallet by `at`, each grant at its own instant. The caller holds the wallet's lock.
create function expire_wallet(m uuid, c text, at timestamptz) returns int
language plpgsql security definer set search_path = public, pg_temp as $$
declare g record; l lot; w wallet; tx uuid; earned bigint; residue bigint; done int := 0;
begin
  for g in select * from wallet_grant x where x.member_id = m and x.currency = c and x.is_open and x.expires_at <= expire_wallet.at and x.held_minor = 0
           order by x.expires_at, x.id
  loop
    -- Paid money that lapses is revenue like a spend, so it earns the lot's discount back; bonus that lapses takes its discount with it.
    update lot x set expired_minor = x.expired_minor + case g.kind when 'bonus' then g.remaining_minor else 0 end,
        spent_minor = x.spent_minor + case g.kind when 'paid' then g.remaining_minor else 0 end
      where x.member_id = m and x.id = g.lot_id returning * into l;
    earned := case g.kind when 'paid' then round(l.discount_minor::numeric * l.spent_minor / l.face_minor)::bigint - l.earned_minor end;
    if earned > 0 then
      update lot x set earned_minor = x.earned_minor + earned where x.member_id = m and x.id = g.lot_id returning * into l;
    end if;
    update wallet_grant set remaining_minor = 0, is_open = false where member_id = m and id = g.id;
    update wallet set paid_minor = paid_minor - case g.kind when 'paid' then g.remaining_minor else 0 end,
                      bonus_minor = bonus_minor - case g.kind when 'bonus' then g.remaining_minor else 0 end,
                      last_seq = last_seq + 1, last_effective_at = greatest(last_effective_at, g.expires_at)
      where member_id = m and currency = c returning * into w;
    tx := md5('expiry:' || g.id)::uuid;
    insert into ledger_transaction (book_id, id, kind, currency, seq, effective_at, recorded_at, request_hash, amount_minor, paid_after_minor, bonus_after_minor)
      values (m, tx, 'expiry', c, w.last_seq, w.last_effective_at, expire_wallet.at, sha256(convert_to(tx::text, 'UTF8')), -g.remaining_minor, w.paid_minor, w.bonus_minor);
    insert into posting (book_id, transaction_id, n, source, target, amount_minor, grant_id)
      select m, tx, 1, case g.kind when 'paid' then 20 else 21 end,
             case when g.kind = 'paid' then 44 when g.lot_id is not null then 22 else 53 end, g.remaining_minor, g.id;
    if earned > 0 then
      insert into posting values (m, tx, 2, 44, 22, earned, null);
    end if;
    residue := l.earned_minor + l.expired_minor - l.discount_minor;
    if l.spent_minor + l.expired_minor = l.face_minor and residue <> 0 then  -- the lot is used up: what was earned back too much is breakage
      insert into posting values (m, tx, 3, case when residue > 0 then 22 else 44 end, case when residue > 0 then 44 else 22 end, abs(residue), null);
    end if;
    done := done + 1;
  end loop;
  update wallet set next_expiry_at = (select min(expires_at) from wallet_grant x where x.member_id = m and x.currency = c and x.is_open)
    where member_id = m and currency = c;
  return done;
end $$;

-- Decide and write one charge; only charge_many calls it, so it runs as the ledger. It locks the wallet, where the caller has not. Consumption order: bonus before paid, then priority, expiry, age, id.
-- Nothing is written before it is known that the money suffices. `legs` are the moves so far, kept as parallel arrays.
create function charge_one(r charge_request) returns charge_result language plpgsql as $$
declare
  w wallet; g record; l lot; spend record; out charge_result;
  first_hash bytea; first_balance bigint; total bigint := 0; missing bigint; take bigint; earned bigint; residue bigint; t int;
  due bigint[] := r.amounts; by_bonus bigint[] := r.bonus_limits;
  leg_source smallint[] := '{}'; leg_target smallint[] := '{}'; leg_amount bigint[] := '{}'; leg_grant uuid[] := '{}';
  lot_ids uuid[] := '{}'; lot_spent bigint[] := '{}'; own_part smallint;
begin
  out := (r.book_id, r.id, 'new', 0, 0, 0, 0);
  select * into w from wallet x where x.member_id = r.book_id and x.currency = r.currency for no key update;
  select x.request_hash, x.paid_after_minor + x.bonus_after_minor into first_hash, first_balance
    from ledger_transaction x where x.book_id = r.book_id and x.id = r.id;
  if found then
    out.status := case when first_hash = r.request_hash then 'replayed' else 'id_reused' end;
    out.balance_after_minor := first_balance;
    return out;
  end if;
  if w.next_expiry_at <= r.at then
    perform expire_wallet(r.book_id, r.currency, r.at);
    select * into w from wallet x where x.member_id = r.book_id and x.currency = r.currency;
  end if;
  for t in 1..cardinality(due) loop
    assert due[t] >= 0 and r.targets[t] not in (20, 21), 'a charge goes out of the wallet';
    total := total + due[t];
  end loop;
  missing := total;
  out.balance_after_minor := coalesce(w.paid_minor + w.bonus_minor, 0);
  if w.state = 'frozen' then
    out.status := 'frozen';
    return out;
  end if;

  for g in
    select x.id, x.kind, x.lot_id, x.remaining_minor - x.held_minor as free from wallet_grant x
    where x.member_id = r.book_id and x.currency = r.currency and x.is_open and (x.expires_at is null or x.expires_at > r.at)
    order by x.kind, x.priority, x.expires_at nulls last, x.granted_at, x.id  -- 'bonus' sorts before 'paid'
  loop
    exit when missing = 0;
    for t in 1..cardinality(due) loop
      take := least(g.free, due[t], case g.kind when 'bonus' then by_bonus[t] end);
      continue when take = 0;
      g.free := g.free - take; due[t] := due[t] - take; by_bonus[t] := by_bonus[t] - take; missing := missing - take;
      if g.kind = 'bonus' then out.bonus_minor := out.bonus_minor + take; else out.paid_minor := out.paid_minor + take; end if;
      leg_source := leg_source || case g.kind when 'bonus' then 21 else 20 end::smallint;
      leg_target := leg_target || r.targets[t]; leg_amount := leg_amount || take; leg_grant := leg_grant || g.id;
      if g.lot_id is not null then lot_ids := lot_ids || g.lot_id; lot_spent := lot_spent || take; end if;
    end loop;
  end loop;
  if missing > 0 then
    out.status := 'insufficient_funds'; out.missing_minor := missing; out.paid_minor := 0; out.bonus_minor := 0;
    return out;
  end if;

  if cardinality(lot_ids) > 0 then
    select p.account into own_part from unnest(r.targets) with ordinality p(account, n) join account_kind k on k.code = p.account and k.is_own_part order by p.n limit 1;
    for spend in select id, sum(amount)::bigint as amount from unnest(lot_ids, lot_spent) x(id, amount) group by id order by id loop
      update lot x set spent_minor = x.spent_minor + spend.amount where x.member_id = r.book_id and x.id = spend.id returning * into l;
      -- Cumulative rounding: the last spend of a lot takes the rest (books, Lots and bonus).
      earned := case when own_part is null then 0 else round(l.discount_minor::numeric * l.spent_minor / l.face_minor)::bigint - l.earned_minor end;
      if earned > 0 then
        update lot x set earned_minor = x.earned_minor + earned where x.member_id = r.book_id and x.id = spend.id;
        leg_source := leg_source || own_part; leg_target := leg_target || 22::smallint; leg_amount := leg_amount || earned; leg_grant := leg_grant || null::uuid;
      end if;
      residue := l.earned_minor + earned + l.expired_minor - l.discount_minor;
      if l.spent_minor + l.expired_minor = l.face_minor and residue <> 0 then  -- used up: what was earned back too much (or could not be) is breakage
        leg_source := leg_source || case when residue > 0 then 22 else 44 end::smallint; leg_target := leg_target || case when residue > 0 then 44 else 22 end::smallint;
        leg_amount := leg_amount || abs(residue); leg_grant := leg_grant || null::uuid;
      end if;
    end loop;
  end if;

  update wallet x set paid_minor = x.paid_minor - out.paid_minor, bonus_minor = x.bonus_minor - out.bonus_minor,
      last_seq = x.last_seq + 1, last_effective_at = greatest(x.last_effective_at, r.at)
    where x.member_id = r.book_id and x.currency = r.currency returning * into w;
  insert into ledger_transaction (book_id, id, kind, currency, seq, effective_at, recorded_at, request_hash, amount_minor, paid_after_minor, bonus_after_minor, memo)
    values (r.book_id, r.id, r.kind, r.currency, w.last_seq, w.last_effective_at, r.at, r.request_hash, -total, w.paid_minor, w.bonus_minor, r.memo);
  for t in 1..cardinality(leg_source) loop
    insert into posting values (r.book_id, r.id, t, leg_source[t], leg_target[t], leg_amount[t], leg_grant[t]);
  end loop;
  if cardinality(leg_grant) = 1 or leg_grant[1] = all (leg_grant) then
    update wallet_grant x set remaining_minor = x.remaining_minor - total, is_open = x.remaining_minor > total
      where x.member_id = r.book_id and x.id = leg_grant[1];
  else
    update wallet_grant x set remaining_minor = x.remaining_minor - d.amount, is_open = x.remaining_minor > d.amount
      from (select id, sum(amount)::bigint as amount from unnest(leg_grant, leg_amount) y(id, amount) where id is not null group by id) d
      where x.member_id = r.book_id and x.id = d.id;
  end if;
  out.balance_after_minor := w.paid_minor + w.bonus_minor;
  return out;
end $$;

-- The hot path and the only implementation of charging: a purchase is a batch of one, a renewal run a batch of thousands.
-- Separate statements, because a later statement sees what the holder of the lock committed. One failure does not undo its neighbours:
-- it is a status. Several requests of one wallet are served in order.
create function charge_many(requests charge_request[]) returns setof charge_result
language plpgsql security definer set search_path = public, pg_temp as $$
declare r charge_request; is_member boolean := current_setting('role') = 'app_member'; me uuid := acting_member();
begin
  foreach r in array requests loop  -- what assert_own_books says, without a query
    if is_member and r.book_id is distinct from me then
      raise insufficient_privilege using message = 'a member may touch its own book only';
    end if;
  end loop;
  if cardinality(requests) > 1 then
    perform from wallet w where (w.member_id, w.currency) in (select x.book_id, x.currency from unnest(requests) x)
      order by w.member_id, w.currency for no key update;
  end if;
  foreach r in array requests loop
    return next charge_one(r);
  end loop;
end $$;

create type credit_request as (
  book_id uuid, id uuid, request_hash bytea, kind text, currency text, at timestamptz, memo text,
  paid_source smallint, paid_minor bigint, bonus_source smallint, bonus_minor bigint, bonus_expires_at timestamptz, priority int,
  sources smallint[], targets smallint[], amounts bigint[]  -- further moves that belong to the same instant, like the card fee
);

-- Put money into wallets: a lot of a paid grant and its bonus. Bonus from `bonus_discount` is a discount on the lot; from `goodwill` it is a gift.
create function credit_many(requests credit_request[]) returns setof charge_result
language plpgsql security definer set search_path = public, pg_temp as $$
declare r credit_request; w wallet; first ledger_transaction; result charge_result; bonus_id uuid; lot_id uuid;
begin
  perform assert_own_books((select array_agg(x.book_id) from unnest(requests) x));
  insert into wallet (member_id, currency, paid_minor, bonus_minor, held_minor, state, last_seq, last_effective_at)
    select distinct on (x.book_id, x.currency) x.book_id, x.currency, 0, 0, 0, 'open', 0, x.at from unnest(requests) x order by x.book_id, x.currency, x.at
    on conflict do nothing;
  perform from wallet v where (v.member_id, v.currency) in (select x.book_id, x.currency from unnest(requests) x)
    order by v.member_id, v.currency for no key update;
  foreach r in array requests loop
    result := (r.book_id, r.id, 'new', 0, r.paid_minor, r.bonus_minor, 0);
    select * into first from ledger_transaction t where t.book_id = r.book_id and t.id = r.id;
    if found then
      result.status := case when first.request_hash = r.request_hash then 'replayed' else 'id_reused' end;
      result.balance_after_minor := first.paid_after_minor + first.bonus_after_minor;
      return next result;
      continue;
    end if;
    assert r.paid_minor >= 0 and r.bonus_minor >= 0 and r.paid_minor + r.bonus_minor > 0;
    assert not (r.sources || r.targets) && array[20, 21]::smallint[], 'wallet accounts move with a grant only';
    perform expire_wallet(r.book_id, r.currency, r.at) from wallet v
      where v.member_id = r.book_id and v.currency = r.currency and v.next_expiry_at <= r.at;
    lot_id := case when r.bonus_source = 22 and r.bonus_minor > 0 then r.id end;  -- money without a discount needs no lot
    if lot_id is not null then
      insert into lot (member_id, id, currency, face_minor, discount_minor, spent_minor, expired_minor, earned_minor)
        values (r.book_id, r.id, r.currency, r.paid_minor + r.bonus_minor, r.bonus_minor, 0, 0, 0);
    end if;
    bonus_id := md5('bonus:' || r.id)::uuid;
    insert into wallet_grant (member_id, id, currency, lot_id, kind, granted_minor, remaining_minor, held_minor, priority, granted_at, expires_at, is_open)
      select r.book_id, g.id, r.currency, lot_id, g.kind, g.amount, g.amount, 0, r.priority, r.at, g.expires_at, true
      from (values (r.id, 'paid', r.paid_minor, null::timestamptz), (bonus_id, 'bonus', r.bonus_minor, r.bonus_expires_at)) g(id, kind, amount, expires_at)
      where g.amount > 0;
    update wallet v set paid_minor = v.paid_minor + r.paid_minor, bonus_minor = v.bonus_minor + r.bonus_minor, last_seq = v.last_seq + 1,
        last_effective_at = greatest(v.last_effective_at, r.at),
        next_expiry_at = case when r.bonus_minor > 0 then least(v.next_expiry_at, r.bonus_expires_at) else v.next_expiry_at end
      where v.member_id = r.book_id and v.currency = r.currency returning * into w;
    insert into ledger_transaction (book_id, id, kind, currency, seq, effective_at, recorded_at, request_hash, amount_minor, paid_after_minor, bonus_after_minor, memo)
      values (r.book_id, r.id, r.kind, r.currency, w.last_seq, w.last_effective_at, r.at, r.request_hash, r.paid_minor + r.bonus_minor, w.paid_minor, w.bonus_minor, r.memo);
    insert into posting (book_id, transaction_id, n, source, target, amount_minor, grant_id)
      select r.book_id, r.id, row_number() over (order by m.n), m.source, m.target, m.amount, m.grant_id from (
        values (1, r.paid_source, 20::smallint, r.paid_minor, r.id), (2, r.bonus_source, 21::smallint, r.bonus_minor, bonus_id)
        union all
        select 2 + x.n, x.source, x.target, x.amount, null from unnest(r.sources, r.targets, r.amounts) with ordinality x(source, target, amount, n)
      ) m(n, source, target, amount, grant_id) where m.amount > 0;
    result.balance_after_minor := w.paid_minor + w.bonus_minor;
    return next result;
  end loop;
end $$;

-- Moves that touch no wallet: between books, recognition, partner shares. Not hot, so one by one.
create function post_moves(b uuid, i uuid, hash bytea, k text, c text, at timestamptz, moves_from smallint[], moves_to smallint[], moves_amount bigint[], why text)
returns text language plpgsql security definer set search_path = public, pg_temp as $$
declare first ledger_transaction; position bigint; effective timestamptz := post_moves.at; paid bigint; bonus bigint;
begin
  perform assert_own_books(array[b]);
  if exists (select from unnest(moves_from || moves_to) a where a in (20, 21)) then
    raise invalid_parameter_value using message = 'wallet accounts move through charges and credits only';
  end if;
  perform from wallet w where w.member_id = b and w.currency = c for no key update;
  if not found then
    insert into ledger_position (book_id, currency, last_seq) values (b, c, 0) on conflict do nothing;
    perform from ledger_position p where p.book_id = b and p.currency = c for no key update;
  end if;
  select * into first from ledger_transaction t where t.book_id = b and t.id = i;
  if found then
    if first.request_hash <> hash then raise unique_violation using message = 'ledger transaction id reused with other content'; end if;
    return 'replayed';
  end if;
  update wallet w set last_seq = w.last_seq + 1, last_effective_at = greatest(w.last_effective_at, post_moves.at)
    where w.member_id = b and w.currency = c returning w.last_seq, w.last_effective_at, w.paid_minor, w.bonus_minor into position, effective, paid, bonus;
  if not found then
    update ledger_position p set last_seq = p.last_seq + 1 where p.book_id = b and p.currency = c returning p.last_seq into position;
    effective := post_moves.at;
  end if;
  insert into ledger_transaction (book_id, id, kind, currency, seq, effective_at, recorded_at, request_hash, amount_minor, paid_after_minor, bonus_after_minor, memo)
    values (b, i, k, c, position, effective, post_moves.at, hash, 0, paid, bonus, why);
  insert into posting (book_id, transaction_id, n, source, target, amount_minor)
    select b, i, row_number() over (order by x.n), x.source, x.target, x.amount
    from unnest(moves_from, moves_to, moves_amount) with ordinality x(source, target, amount, n) where x.amount > 0;
  return 'new';
end $$;

-- Open a book; a member's gets an empty wallet in its currency.
create function open_book(b uuid, k text, entity uuid, c text, at timestamptz) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
begin
  insert into book values (b, k, entity) on conflict do nothing;
  if k = 'member' then
    insert into wallet (member_id, currency, paid_minor, bonus_minor, held_minor, state, last_seq, last_effective_at)
      values (b, c, 0, 0, 0, 'open', 0, open_book.at) on conflict do nothing;
  end if;
end $$;

-- Expire in many wallets; called by the sweep, so that a balance read is never far behind.
create function expire_due(at timestamptz, most int) returns int
language plpgsql security definer set search_path = public, pg_temp as $$
declare w record; done int := 0;
begin
  for w in select member_id, currency from wallet where next_expiry_at <= expire_due.at order by member_id, currency limit most for no key update skip locked loop
    done := done + expire_wallet(w.member_id, w.currency, expire_due.at);
  end loop;
  return done;
end $$;

do $$
declare f text;
begin
  grant create on schema public to ledger;
  foreach f in array array['expire_wallet(uuid, text, timestamptz)', 'charge_one(charge_request)', 'charge_many(charge_request[])', 'credit_many(credit_request[])',
    'post_moves(uuid, uuid, bytea, text, text, timestamptz, smallint[], smallint[], bigint[], text)',
    'open_book(uuid, text, uuid, text, timestamptz)', 'expire_due(timestamptz, int)'] loop
    execute format('alter function %s owner to ledger', f);
    execute format('revoke execute on function %s from public', f);
  end loop;
  revoke create on schema public from ledger;
end $$;
grant execute on function charge_many(charge_request[]) to app_member, app_staff, app_system;
grant execute on function credit_many(credit_request[]), expire_due(timestamptz, int), open_book(uuid, text, uuid, text, timestamptz),
  post_moves(uuid, uuid, bytea, text, text, timestamptz, smallint[], smallint[], bigint[], text) to app_staff, app_system;

-- A book has many entries. While each still has one, the planner sees no difference between the indexes that begin with the book, and a plan
-- made then walks the whole book to find an entry by its id.
alter table ledger_transaction alter column book_id set (n_distinct = -0.01);
