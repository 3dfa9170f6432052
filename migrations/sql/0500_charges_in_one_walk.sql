-- A batch reads its wallets and their grants in one walk along the index of each, and a renewal writes two index entries less (decision 0064).

-- One running subscription of a product line: kept in a table of its own, so that a renewal, which changes neither, does not write it again.
create table running_subscription (
  member_id uuid not null, product_line text not null,
  constraint running_subscription_pkey primary key (member_id, product_line)
);
alter table running_subscription enable row level security;
alter table running_subscription force row level security;
create policy own_rows on running_subscription to app_member using (member_id = acting_member()) with check (member_id = acting_member());
create policy all_rows on running_subscription to app_staff, app_system, current_user using (true) with check (true);
grant select on running_subscription to app_member, app_staff, app_system;

create function keep_running_subscription() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
  if new.state = 'ended' then
    delete from running_subscription r where r.member_id = new.member_id and r.product_line = new.product_line;
  else
    insert into running_subscription values (new.member_id, new.product_line);
  end if;
  return null;
end $$;
revoke execute on function keep_running_subscription from public;

lock table subscription in share row exclusive mode;
insert into running_subscription select member_id, product_line from subscription where state <> 'ended';
create trigger subscription_begins after insert on subscription for each row when (new.state <> 'ended') execute function keep_running_subscription();
create trigger subscription_ends after update of state on subscription for each row when ((old.state = 'ended') <> (new.state = 'ended'))
  execute function keep_running_subscription();
drop index subscription_running_idx;

-- What is to be taken up into the schedule of recognition, by the time it was paid: a batch is written at the end of the index, and the first of them is found at once.
drop index subscription_charge_new_idx;
create index subscription_charge_new_idx on subscription_charge (paid_at) where state = 'paid' and not is_deferred;

-- The hot path and the only implementation of charging: a purchase is a batch of one, gathered purchases a batch of a few, a renewal run a
-- batch of thousands. Results stand in the order of the requests. A failure is a status and leaves its neighbours alone; only bugs raise.
-- Several requests of one wallet are served in order.
--
-- Everything is read with one statement a table, decided in memory, and written with one statement a table; they are separate statements,
-- because a later one sees what the holder of the lock committed. A wallet's money is a line of grants in the order of consumption, a charge
-- is a line of targets: walking both at once, every overlap is a move, so what leaves the wallet is what arrives. Bonus covers at most the
-- part of each target that it may pay (`bonus_limits`), paid money the rest; what is missing then goes on the member's account, as far as its
-- credit limit allows (books, move 12). The capture of a hold walks the hold's draws instead of the wallet's grants.
create or replace function charge_many(requests charge_request[]) returns setof charge_result
language plpgsql security definer set search_path = public, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
declare
  books uuid[]; currencies text[]; first_at timestamptz; last_at timestamptz;  -- of all requests
  r charge_request; h hold; results charge_result[]; entries charge_entry[] := '{}'; moves charge_move[] := '{}';
  places int[]; first_hash bytea[]; first_balance bigint[];  -- requests by wallet, and what their ids led to before
  w_row tid[]; w_member uuid[]; w_currency text[]; w_state text[]; w_paid bigint[]; w_bonus bigint[]; w_owed bigint[]; w_limit bigint[]; w_seq bigint[]; w_at timestamptz[];
  g_row tid[]; g_member uuid[]; g_currency text[]; g_id uuid[]; g_bonus boolean[]; g_had bigint[]; g_free bigint[]; g_lot uuid[];  -- grants by wallet, in the order of consumption
  l_row tid[]; l_member uuid[]; l_id uuid[]; l_face bigint[]; l_discount bigint[]; l_expired bigint[]; l_spent bigint[]; l_earned bigint[]; l_now bigint[];
  own_accounts smallint[]; is_expiring boolean; is_plain boolean; is_capture boolean; has_wallet boolean;
  w int := 0; k int; t int; g int; l int; n smallint; next_grant int := 1; first_bonus int; first_paid int; first_lot int := 1; low_lot int; high_lot int;
  bonus_free bigint; paid_free bigint; credit_free bigint; total bigint; usable bigint; missing bigint; outcome text;
  by_bonus bigint; by_paid bigint; on_credit bigint; bonus_left bigint; paid_left bigint; due bigint; room bigint; take bigint; source smallint; own smallint;
  earned bigint; residue bigint; written bigint;
begin
  if cardinality(requests) = 0 then
    return;
  end if;
  select array_agg(q.book_id), array_agg(distinct q.currency), min(q.at), max(q.at) into books, currencies, first_at, last_at from unnest(requests) q;
  perform assert_own_books(books);
  for pass in 1..2 loop  -- lock the wallets in member order; once more where money had to expire first
    select array_agg(v.ctid), array_agg(v.member_id), array_agg(v.currency), array_agg(v.state), array_agg(v.paid_minor), array_agg(v.bonus_minor),
        array_agg(v.receivable_minor), array_agg(v.credit_limit_minor), array_agg(v.last_seq), array_agg(v.last_effective_at),
        bool_or(v.next_expiry_at <= last_at), first_at = last_at or bool_and(v.next_expiry_at is null or v.next_expiry_at > last_at)
      into w_row, w_member, w_currency, w_state, w_paid, w_bonus, w_owed, w_limit, w_seq, w_at, is_expiring, is_plain
      from (select x.ctid, x.* from wallet x where x.member_id = any(books) and x.currency = any(currencies)
            order by x.member_id, x.currency for no key update) v;
    exit when pass = 2 or is_expiring is not true or not is_plain;
    perform expire_wallet(d.book_id, d.currency, d.at)
      from (select q.book_id, q.currency, max(q.at) as at from unnest(requests) q
            where not exists (select from ledger_transaction e where e.book_id = q.book_id and e.id = q.id) group by 1, 2) d
      join wallet x on x.member_id = d.book_id and x.currency = d.currency where x.next_expiry_at <= d.at;
  end loop;

  select array_agg(q.ordinality::int order by q.book_id, q.currency, q.ordinality), array_agg(e.request_hash order by q.book_id, q.currency, q.ordinality),
      array_agg(e.paid_after_minor + e.bonus_after_minor order by q.book_id, q.currency, q.ordinality),
      is_plain is not false and (count(*) = 1 or count(q.hold_id) = 0 and count(distinct q.id) = count(*))
    into places, first_hash, first_balance, is_plain
    from unnest(requests) with ordinality q left join ledger_transaction e on e.book_id = q.book_id and e.id = q.id;
  if not is_plain then  -- captures, an id twice, money that expires between two requests: each must find what the one before has written
    foreach r in array requests loop
      return query select * from charge_many(array[r]);
    end loop;
    return;
  end if;

  is_capture := (requests[1]).hold_id is not null;
  if is_capture then
    select * into h from hold x where x.member_id = (requests[1]).book_id and x.id = (requests[1]).hold_id;
    select array_agg(x.ctid), array_agg(x.member_id), array_agg(x.currency), array_agg(x.id), array_agg(x.kind = 'bonus'), array_agg(x.free), array_agg(x.free), array_agg(x.lot_id)
      into g_row, g_member, g_currency, g_id, g_bonus, g_had, g_free, g_lot
      from (select y.ctid, y.*, d.remaining_minor as free from hold_draw d join wallet_grant y on y.member_id = d.member_id and y.id = d.grant_id
            where d.member_id = h.member_id and d.hold_id = h.id and d.remaining_minor > 0
            order by y.kind, y.priority, y.expires_at nulls last, y.granted_at, y.id) x;
  else
    select array_agg(x.ctid), array_agg(x.member_id), array_agg(x.currency), array_agg(x.id), array_agg(x.kind = 'bonus'), array_agg(x.free), array_agg(x.free), array_agg(x.lot_id)
      into g_row, g_member, g_currency, g_id, g_bonus, g_had, g_free, g_lot
      from (select y.ctid, y.*, y.remaining_minor - y.held_minor as free
            from wallet_grant y where y.member_id = any(books) and y.currency = any(currencies) and y.is_open
            order by y.member_id, y.currency, y.kind, y.priority, y.expires_at nulls last, y.granted_at, y.id) x;  -- 'bonus' sorts before 'paid'
  end if;
  if array_remove(g_lot, null) <> '{}' then
    select array_agg(x.ctid), array_agg(x.member_id), array_agg(x.id), array_agg(x.face_minor), array_agg(x.discount_minor), array_agg(x.expired_minor), array_agg(x.spent_minor),
        array_agg(x.earned_minor), array_agg(0::bigint)
      into l_row, l_member, l_id, l_face, l_discount, l_expired, l_spent, l_earned, l_now
      from (select y.ctid, y.* from (select distinct z.member_id, z.id from unnest(g_member, g_lot) z(member_id, id) where z.id is not null) d
            join lot y on y.member_id = d.member_id and y.id = d.id order by y.member_id, y.id) x;
    own_accounts := array(select code from account_kind where is_own_part);
  end if;

  for k in 1..cardinality(places) loop
    r := requests[places[k]];
    if (w_member[w] = r.book_id and w_currency[w] = r.currency) is not true then  -- on to the next wallet
      bonus_free := 0; paid_free := 0; credit_free := 0;
      while (w_member[w + 1], w_currency[w + 1]) < (r.book_id, r.currency) loop w := w + 1; end loop;  -- a wallet of another currency
      has_wallet := coalesce(w_member[w + 1] = r.book_id and w_currency[w + 1] = r.currency, false);
      if has_wallet then
        w := w + 1;
        while (g_member[next_grant], g_currency[next_grant]) < (r.book_id, r.currency) loop next_grant := next_grant + 1; end loop;
        first_bonus := next_grant;
        while g_member[next_grant] = r.book_id and g_currency[next_grant] = r.currency and g_bonus[next_grant] loop bonus_free := bonus_free + g_free[next_grant]; next_grant := next_grant + 1; end loop;
        first_paid := next_grant;
        while g_member[next_grant] = r.book_id and g_currency[next_grant] = r.currency loop paid_free := paid_free + g_free[next_grant]; next_grant := next_grant + 1; end loop;
        while l_member[first_lot] < r.book_id loop first_lot := first_lot + 1; end loop;
        if w_limit[w] > 0 and not is_capture then credit_free := greatest(w_limit[w] - w_owed[w], 0); end if;
      end if;
    end if;
    total := 0; usable := 0;
    for t in 1..cardinality(r.targets) loop
      assert r.amounts[t] >= 0 and r.targets[t] not in (20, 21), 'a charge goes out of the wallet';
      total := total + r.amounts[t]; usable := usable + least(r.amounts[t], r.bonus_limits[t]);
    end loop;
    usable := least(usable, bonus_free); missing := total - usable - paid_free - credit_free;
    outcome := case when first_hash[k] is not null then case when first_hash[k] = r.request_hash then 'replayed' else 'id_reused' end
      when has_wallet and w_state[w] = 'frozen' then 'frozen'
      when is_capture and (h.currency is distinct from r.currency or h.state <> 'open' or h.expires_at <= r.at) then 'hold_closed'
      when missing > 0 then case when is_capture then 'hold_exceeded' else 'insufficient_funds' end end;
    if outcome is not null then
      results[places[k]] := (r.book_id, r.id, outcome, case when outcome in ('hold_exceeded', 'insufficient_funds') then missing else 0 end, 0, 0,
        case when first_hash[k] is not null then first_balance[k] when has_wallet then w_paid[w] + w_bonus[w] else 0 end, 0)::charge_result;
    else
      by_bonus := case when usable = 0 then 0
        when is_capture then usable  -- what a hold reserved of bonus may not fit the next part
        when r.consumption_order = 'paid_first' then least(usable, greatest(total - paid_free, 0))
        when r.consumption_order = 'proportional' then  -- the largest remainder of two parts is the one of at least half
          least(usable, greatest(round(total::numeric * bonus_free / (bonus_free + paid_free))::bigint, total - paid_free))
        else usable end;
      by_paid := least(paid_free, total - by_bonus); on_credit := total - by_bonus - by_paid;
      bonus_free := bonus_free - by_bonus; paid_free := paid_free - by_paid;
      bonus_left := by_bonus; paid_left := by_paid; room := 0; n := 0; low_lot := null; high_lot := null;
      for t in 1..cardinality(r.targets) loop
        due := r.amounts[t];
        if bonus_left > 0 then room := least(due, r.bonus_limits[t], bonus_left); bonus_left := bonus_left - room; end if;
        while due > 0 loop
          if room > 0 then
            source := 21; g := first_bonus; take := least(room, g_free[g]); room := room - take;
          elsif paid_left > 0 then
            source := 20; g := first_paid; take := least(due, paid_left, g_free[g]); paid_left := paid_left - take;
          else  -- on the member's account
            source := 12; g := null; take := due;
          end if;
          if take > 0 then
            n := n + 1;
            moves := moves || (r.book_id, r.id, n, source, r.targets[t], take, g_id[g])::charge_move;
            due := due - take;
            if g is not null then
              g_free[g] := g_free[g] - take;
              if g_lot[g] is not null then
                l := first_lot;
                while l_id[l] <> g_lot[g] loop l := l + 1; end loop;
                l_now[l] := l_now[l] + take;
                low_lot := least(low_lot, l); high_lot := greatest(high_lot, l);
              end if;
            end if;
          elsif source = 21 then  -- that grant is used up
            first_bonus := first_bonus + 1;
          else
            first_paid := first_paid + 1;
          end if;
        end loop;
      end loop;
      if low_lot is not null then
        own := null;
        for t in 1..cardinality(r.targets) loop
          if r.targets[t] = any (own_accounts) then own := r.targets[t]; exit; end if;
        end loop;
        for l in low_lot..high_lot loop
          continue when l_now[l] = 0;
          l_spent[l] := l_spent[l] + l_now[l]; l_now[l] := 0;
          -- Cumulative rounding: the last spend of a lot takes the rest (books, Lots and bonus).
          earned := case when own is null then 0 else greatest(round(l_discount[l]::numeric * l_spent[l] / l_face[l])::bigint - l_earned[l], 0) end;
          if earned > 0 then
            l_earned[l] := l_earned[l] + earned;
            n := n + 1;
            moves := moves || (r.book_id, r.id, n, own, 22, earned, null)::charge_move;
          end if;
          residue := l_earned[l] + l_expired[l] - l_discount[l];
          if l_spent[l] + l_expired[l] = l_face[l] and residue <> 0 then  -- used up: what was earned back too much (or could not be) is breakage
            n := n + 1;
            moves := moves || (r.book_id, r.id, n, case when residue > 0 then 22 else 44 end, case when residue > 0 then 44 else 22 end, abs(residue), null)::charge_move;
          end if;
        end loop;
      end if;
      w_paid[w] := w_paid[w] - by_paid; w_bonus[w] := w_bonus[w] - by_bonus; w_seq[w] := w_seq[w] + 1; w_at[w] := greatest(w_at[w], r.at);
      if on_credit > 0 then
        w_owed[w] := w_owed[w] + on_credit; credit_free := credit_free - on_credit;
      end if;
      entries := entries || (r.book_id, r.id, r.kind, r.currency, w_seq[w], w_at[w], r.at, r.request_hash, -by_bonus - by_paid, w_paid[w], w_bonus[w], r.memo)::charge_entry;
      results[places[k]] := (r.book_id, r.id, 'new', 0, by_paid, by_bonus, w_paid[w] + w_bonus[w], on_credit)::charge_result;
    end if;
  end loop;

  if entries <> '{}' then  -- by place: the wallet's lock keeps its row, its grants and its lots where they were read
    update wallet x set paid_minor = d.paid, bonus_minor = d.bonus, receivable_minor = d.owed, last_seq = d.seq, last_effective_at = d.at,
        held_minor = x.held_minor - case when is_capture then total else 0 end
      from (select unnest(w_row) as place, unnest(w_member) as member_id, unnest(w_paid) as paid, unnest(w_bonus) as bonus, unnest(w_owed) as owed,
        unnest(w_seq) as seq, unnest(w_at) as at) d
      where x.ctid = d.place and x.member_id = d.member_id and x.last_seq <> d.seq;
    insert into ledger_transaction (book_id, id, kind, currency, seq, effective_at, recorded_at, request_hash, amount_minor, paid_after_minor, bonus_after_minor, memo)
      select * from unnest(entries);
    insert into posting (book_id, transaction_id, n, source, target, amount_minor, grant_id) select * from unnest(moves);
    update wallet_grant x set remaining_minor = x.remaining_minor - d.had + d.free, is_open = x.remaining_minor - d.had + d.free > 0,
        held_minor = case when is_capture then x.held_minor - d.had + d.free else x.held_minor end
      from (select unnest(g_row) as place, unnest(g_id) as id, unnest(g_had) as had, unnest(g_free) as free) d
      where d.had <> d.free and x.ctid = d.place and x.id = d.id;
    get diagnostics written = row_count;
    assert written = (select count(*) from (select unnest(g_had) as had, unnest(g_free) as free) d where d.had <> d.free), 'every grant that was drawn on is written';
    if l_id is not null then
      update lot x set spent_minor = d.spent, earned_minor = d.earned
        from (select unnest(l_row) as place, unnest(l_id) as id, unnest(l_spent) as spent, unnest(l_earned) as earned) d
        where x.ctid = d.place and x.id = d.id and x.spent_minor <> d.spent;
    end if;
    if is_capture then
      update hold_draw x set remaining_minor = d.free from unnest(g_id, g_had, g_free) d(id, had, free)
        where d.had <> d.free and x.member_id = h.member_id and x.hold_id = h.id and x.grant_id = d.id;
      update hold x set captured_minor = x.captured_minor + total,
          state = case when x.captured_minor + total + x.released_minor = x.amount_minor then 'captured' else 'open' end,
          closed_at = case when x.captured_minor + total + x.released_minor = x.amount_minor then r.at end
        where x.member_id = h.member_id and x.id = h.id;
    end if;
  end if;
  return query select * from unnest(results);
end $$;

-- As in 0480; what tells two charges of one id apart is what they say, not a hash of it.
--
-- Renew up to `most` subscriptions that are due at `at`; call it until it returns nothing but 'waiting'.
-- of_members: only these. only_paid: what these members owe, whenever it is tried next, as far as the wallet goes; nothing is written about the rest.
-- retry_days: when an unpaid one is tried again, in days from the first attempt; suspended after suspend_days, ended after end_days.
-- `skip locked`: two runs share the work. from_end: start with the last ones, so that two lanes do not walk over each other's rows. A subscription whose
-- member has an earlier one due that is not in this batch is 'waiting', so the subscriptions of one wallet are served in the order in which their
-- terms ended, whoever serves them.
create or replace function renew_due(
  at timestamptz, most bigint, of_members uuid[], only_paid boolean, run uuid, retry_days bigint[], suspend_days bigint, end_days bigint, consumption_order text,
  from_end boolean default false
) returns setof renewal_outcome language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set work_mem = '64MB' as $$
#variable_conflict use_column
declare due subscription[]; places tid[]; members uuid[]; early uuid[] := '{}'; coming next_term[]; charged charge_status[]; judged renewal_verdict[];
begin
  select h.* into due, places from hold_due(renew_due.at, most, of_members, only_paid, from_end) h;
  if due is null then
    return;
  end if;
  if not only_paid then
    -- Members with more due than is in this batch: one walk along the index tells that there are none.
    members := array(select d.member_id from unnest(due) d);
    if (select count(*) filter (where x.state in ('trialing', 'active', 'past_due') and x.next_attempt_at <= renew_due.at)
        from (select y.state, y.next_attempt_at from subscription y where y.member_id = any(members) and y.state <> 'ended' offset 0) x) > cardinality(due) then
      early := array(select d.id from unnest(due) d
        join lateral (select y.* from subscription y where y.member_id = d.member_id and y.state <> 'ended' offset 0) x
          on x.id <> d.id and x.state in ('trialing', 'active', 'past_due') and x.next_attempt_at <= renew_due.at
          and (x.term_end, x.started_at, x.id) < (d.term_end, d.started_at, d.id)
        where not exists (select from unnest(due) y where y.member_id = x.member_id and y.id = x.id));
    end if;
    if cardinality(early) > 0 then
      return query select d.member_id, d.id, d.product_line, d.currency, d.term + 1, 'waiting', 0::bigint, 0::bigint, 0::bigint, null::uuid, d.term_end,
        d.term_end, d.next_attempt_at, null from unnest(due) d where d.id = any(early);
      select array_agg(d.s), array_agg(d.place) into due, places from (select unnest(due) as s, unnest(places) as place) d where (d.s).id <> all(early);
      if due is null then
        return;
      end if;
    end if;
  end if;
  coming := array(select n from next_terms(due) n);
  charged := array(select (c.id, c.status, c.missing_minor)::charge_status from charge_many(array(
    select (n.member_id, n.charge_id, uuid_send(n.charge_id) || int8send(n.price_minor), 'subscription', n.currency,
      renew_due.at, null, case when n.tax_minor > 0 then array[26, 27] else array[26] end,
      case when n.tax_minor > 0 then array[n.price_minor - n.tax_minor, n.tax_minor] else array[n.price_minor] end,
      case when n.tax_minor > 0 then array[n.price_minor - n.tax_minor, 0] else array[n.price_minor] end, null, renew_due.consumption_order)::charge_request
    from unnest(coming) n where n.is_charged)) c);
  judged := judge_renewals(coming, charged, renew_due.at, only_paid, retry_days, suspend_days, end_days);
  perform write_renewals(judged, places, renew_due.at, run, suspend_days, end_days);
  return query select j.member_id, j.id, j.product_line, j.currency, j.term, j.outcome, case when j.outcome in ('ended', 'parked') then 0 else j.price_minor end, j.tax_minor,
    case when j.outcome in ('past_due', 'suspended', 'lapsed') then j.lacking_minor else 0 end, j.charge_id, j.begins_at, j.ends_at,
    case j.outcome when 'renewed' then j.ends_at else j.retry_at end, j.fault
  from unnest(judged) j;
end $$;
