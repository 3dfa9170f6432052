-- Holds: place, release, expire. A capture is a charge (charge_many with `hold_id`). All of it happens under the wallet's lock.
-- Held money does not expire: it stays until it is captured or given back, and what is given back after its date expires in the same breath.
-- A hold ends at its instant, however late the job is: `next_expiry_at` of the wallet counts holds too, so whoever charges closes them first.
alter table hold add column bonus_limit_minor bigint not null default 0, add column by_member boolean not null default true;
alter table hold alter column bonus_limit_minor drop default, alter column by_member drop default;
alter table hold add constraint hold_bonus_limit_check check (bonus_limit_minor between 0 and amount_minor);

-- What happened to a hold, each under its own id: for a capture that of the charge. Written by the functions below alone.
create table hold_change (
  member_id uuid not null, id uuid not null, hold_id uuid not null, request_hash bytea not null, kind text not null, amount_minor bigint not null,
  at timestamptz not null, reason text, created_by uuid,
  constraint hold_change_pkey primary key (member_id, id),
  constraint hold_change_member_id_hold_id_fkey foreign key (member_id, hold_id) references hold (member_id, id),
  constraint hold_change_kind_check check (kind in ('capture', 'release', 'expiry')),
  constraint hold_change_amount_check check (amount_minor > 0)
);
create index hold_change_hold_idx on hold_change (member_id, hold_id, at);

create type hold_request as (
  member_id uuid, id uuid, request_hash bytea, currency text, amount_minor bigint, bonus_limit_minor bigint, reason text, created_by uuid,
  by_member boolean, expires_at timestamptz, at timestamptz, consumption_order text
);
create type hold_result as (status text, missing_minor bigint);  -- new, replayed, id_reused, insufficient_funds, frozen, hold_exceeded, hold_closed

-- When something in a wallet ends next: money that is not wholly held, or a hold.
create or replace function next_expiry(m uuid, c text) returns timestamptz language sql stable as $$
  select least(
    (select min(x.expires_at) from wallet_grant x where x.member_id = m and x.currency = c and x.is_open and x.remaining_minor > x.held_minor),
    (select min(h.expires_at) from hold h where h.member_id = m and h.currency = c and h.state = 'open'))
$$;
create index hold_open_idx on hold (member_id, currency, expires_at) where state = 'open';

-- Close the open holds of some wallets that have ended by `at`, set by set; returns how many. The caller holds the wallets' locks.
create function close_ended_holds(members uuid[], c text, at timestamptz) returns int
language plpgsql security definer set search_path = public, pg_temp as $$
declare ended uuid[]; owners uuid[];
begin
  select array_agg(h.id), array_agg(h.member_id) into ended, owners
    from hold h where h.member_id = any (members) and h.currency = c and h.state = 'open' and h.expires_at <= close_ended_holds.at;
  if ended is null then
    return 0;
  end if;
  update wallet_grant g set held_minor = g.held_minor - d.amount
    from (select x.member_id, x.grant_id, sum(x.remaining_minor)::bigint as amount from hold_draw x
          join unnest(owners, ended) e(member_id, id) on e.member_id = x.member_id and e.id = x.hold_id group by 1, 2) d
    where g.member_id = d.member_id and g.id = d.grant_id and d.amount > 0;
  update wallet w set held_minor = w.held_minor - d.amount
    from (select h.member_id, sum(h.amount_minor - h.captured_minor - h.released_minor)::bigint as amount from hold h
          join unnest(owners, ended) e(member_id, id) on e.member_id = h.member_id and e.id = h.id group by 1) d
    where w.member_id = d.member_id and w.currency = c;
  insert into hold_change (member_id, id, hold_id, request_hash, kind, amount_minor, at)
    select h.member_id, md5('hold-expiry:' || h.id)::uuid, h.id, ''::bytea, 'expiry', h.amount_minor - h.captured_minor - h.released_minor, h.expires_at
    from hold h join unnest(owners, ended) e(member_id, id) on e.member_id = h.member_id and e.id = h.id;
  update hold_draw x set remaining_minor = 0 from unnest(owners, ended) e(member_id, id) where e.member_id = x.member_id and e.id = x.hold_id;
  update hold h set released_minor = h.amount_minor - h.captured_minor, state = 'expired', closed_at = h.expires_at
    from unnest(owners, ended) e(member_id, id) where e.member_id = h.member_id and e.id = h.id;
  update wallet w set next_expiry_at = next_expiry(w.member_id, w.currency) where w.member_id = any (owners) and w.currency = c;
  return cardinality(ended);
end $$;

-- As in 0201, but holds that have ended are closed first: what they give back may be past its own date. Returns how many of both.
create or replace function expire_wallet(m uuid, c text, at timestamptz) returns int
language plpgsql security definer set search_path = public, pg_temp as $$
declare g record; l lot; was lot; w wallet; tx uuid; amount bigint; earned bigint; residue bigint; done int := 0;
begin
  done := close_ended_holds(array[m], c, expire_wallet.at);
  for g in select * from wallet_grant x where x.member_id = m and x.currency = c and x.is_open and x.expires_at <= expire_wallet.at and x.remaining_minor > x.held_minor
           order by x.expires_at, x.id
  loop
    amount := g.remaining_minor - g.held_minor; earned := 0; residue := 0;
    if g.lot_id is not null then
      -- Paid money that lapses is revenue like a spend, so it earns the lot's discount back; bonus that lapses takes its discount with it.
      select * into was from lot x where x.member_id = m and x.id = g.lot_id;
      if g.kind = 'paid' then
        earned := greatest(0, round(was.discount_minor::numeric * (was.spent_minor + amount) / was.face_minor)::bigint - was.earned_minor);
      end if;
      update lot x set expired_minor = x.expired_minor + case g.kind when 'bonus' then amount else 0 end,
          spent_minor = x.spent_minor + case g.kind when 'paid' then amount else 0 end, earned_minor = x.earned_minor + earned
        where x.member_id = m and x.id = g.lot_id returning * into l;
      residue := lot_level(was) + earned + case g.kind when 'bonus' then amount else 0 end - lot_level(l);
    end if;
    update wallet_grant set remaining_minor = g.held_minor, is_open = g.held_minor > 0 where member_id = m and id = g.id;
    update wallet set paid_minor = paid_minor - case g.kind when 'paid' then amount else 0 end,
                      bonus_minor = bonus_minor - case g.kind when 'bonus' then amount else 0 end,
                      last_seq = last_seq + 1, last_effective_at = greatest(last_effective_at, g.expires_at)
      where member_id = m and currency = c returning * into w;
    tx := md5('expiry:' || g.id || ':' || w.last_seq)::uuid;
    insert into ledger_transaction (book_id, id, kind, currency, seq, effective_at, recorded_at, request_hash, amount_minor, paid_after_minor, bonus_after_minor)
      values (m, tx, 'expiry', c, w.last_seq, w.last_effective_at, expire_wallet.at, sha256(convert_to(tx::text, 'UTF8')), -amount, w.paid_minor, w.bonus_minor);
    insert into posting (book_id, transaction_id, n, source, target, amount_minor, grant_id)
      select m, tx, 1, case g.kind when 'paid' then 20 else 21 end,
             case when g.kind = 'paid' then 44 when g.lot_id is not null then 22 else 53 end, amount, g.id;
    if earned > 0 then
      insert into posting values (m, tx, 2, 44, 22, earned, null);
    end if;
    if residue <> 0 then  -- the lot is used up: what was earned back too much is breakage
      insert into posting values (m, tx, 3, case when residue > 0 then 22 else 44 end, case when residue > 0 then 44 else 22 end, abs(residue), null);
    end if;
    done := done + 1;
  end loop;
  update wallet set next_expiry_at = next_expiry(m, c) where member_id = m and currency = c;
  return done;
end $$;

-- Reserve money: draw on the grants in the order of consumption, bonus up to the hold's limit, paid money for the rest. A credit limit is not money.
create function place_hold(r hold_request) returns hold_result
language plpgsql security definer set search_path = public, pg_temp as $$
declare w wallet; first hold; bonus_free bigint; paid_free bigint; usable bigint; by_bonus bigint; missing bigint;
begin
  perform assert_own_books(array[r.member_id]);
  assert r.amount_minor > 0 and r.bonus_limit_minor between 0 and r.amount_minor and r.expires_at > r.at;
  select * into w from wallet x where x.member_id = r.member_id and x.currency = r.currency for no key update;
  if not found then
    return ('insufficient_funds', r.amount_minor)::hold_result;
  end if;
  select * into first from hold x where x.member_id = r.member_id and x.id = r.id;
  if found then
    return (case when first.request_hash = r.request_hash then 'replayed' else 'id_reused' end, 0)::hold_result;
  end if;
  if w.next_expiry_at <= r.at then
    perform expire_wallet(r.member_id, r.currency, r.at);
  end if;
  if w.state = 'frozen' then
    return ('frozen', 0)::hold_result;
  end if;
  select coalesce(sum(x.remaining_minor - x.held_minor) filter (where x.kind = 'bonus'), 0), coalesce(sum(x.remaining_minor - x.held_minor) filter (where x.kind = 'paid'), 0)
    into bonus_free, paid_free
    from wallet_grant x where x.member_id = r.member_id and x.currency = r.currency and x.is_open and (x.expires_at is null or x.expires_at > r.at);
  usable := least(r.bonus_limit_minor, bonus_free);
  missing := r.amount_minor - usable - paid_free;
  if missing > 0 then
    return ('insufficient_funds', missing)::hold_result;
  end if;
  by_bonus := case r.consumption_order  -- as in charge_many
    when 'paid_first' then least(usable, greatest(r.amount_minor - paid_free, 0))
    when 'proportional' then case when bonus_free = 0 then 0 else
      least(usable, greatest(round(r.amount_minor::numeric * bonus_free / (bonus_free + paid_free))::bigint, r.amount_minor - paid_free)) end
    else usable end;
  insert into hold (member_id, id, request_hash, currency, amount_minor, bonus_limit_minor, reason, created_by, by_member, expires_at, created_at)
    values (r.member_id, r.id, r.request_hash, r.currency, r.amount_minor, r.bonus_limit_minor, r.reason, r.created_by, r.by_member, r.expires_at, r.at);
  insert into hold_draw (member_id, hold_id, grant_id, remaining_minor)
    select r.member_id, r.id, d.id, d.amount from (
      select x.id, least(x.remaining_minor - x.held_minor,
          case x.kind when 'bonus' then by_bonus else r.amount_minor - by_bonus end
          - coalesce(sum(x.remaining_minor - x.held_minor) over (partition by x.kind order by x.priority, x.expires_at nulls last, x.granted_at, x.id
              rows between unbounded preceding and 1 preceding), 0))::bigint as amount
      from wallet_grant x
      where x.member_id = r.member_id and x.currency = r.currency and x.is_open and (x.expires_at is null or x.expires_at > r.at)) d
    where d.amount > 0;
  update wallet_grant g set held_minor = g.held_minor + d.remaining_minor
    from hold_draw d where d.member_id = r.member_id and d.hold_id = r.id and g.member_id = d.member_id and g.id = d.grant_id;
  update wallet x set held_minor = x.held_minor + r.amount_minor, next_expiry_at = next_expiry(r.member_id, r.currency)
    where x.member_id = r.member_id and x.currency = r.currency;
  return ('new', 0)::hold_result;
end $$;

-- Give back a part of a hold, or all that is left (`amount` null). Bonus and paid money come back in the proportion in which they are held, bonus
-- rounded up, so that what stays can always be captured; within a kind the last drawn comes back first.
create function release_hold(m uuid, h uuid, i uuid, hash bytea, amount bigint, why text, who uuid, at timestamptz) returns hold_result
language plpgsql security definer set search_path = public, pg_temp as $$
declare o hold; first hold_change; w wallet; rest bigint; bonus_held bigint; by_bonus bigint;
begin
  perform assert_own_books(array[m]);
  select x.* into w from wallet x join hold y on y.member_id = x.member_id and y.currency = x.currency where y.member_id = m and y.id = h for no key update of x;
  select * into first from hold_change x where x.member_id = m and x.id = i;
  if found then
    return (case when first.request_hash = hash then 'replayed' else 'id_reused' end, 0)::hold_result;
  end if;
  if w.next_expiry_at <= release_hold.at then
    perform expire_wallet(m, w.currency, release_hold.at);
  end if;
  select * into o from hold x where x.member_id = m and x.id = h;
  if o.state is distinct from 'open' then
    return ('hold_closed', 0)::hold_result;
  end if;
  rest := o.amount_minor - o.captured_minor - o.released_minor;
  amount := coalesce(amount, rest);
  assert amount > 0;
  if amount > rest then
    return ('hold_exceeded', amount - rest)::hold_result;
  end if;
  select coalesce(sum(d.remaining_minor), 0) into bonus_held
    from hold_draw d join wallet_grant g on g.member_id = d.member_id and g.id = d.grant_id where d.member_id = m and d.hold_id = h and g.kind = 'bonus';
  by_bonus := least(bonus_held, ceil(amount::numeric * bonus_held / rest)::bigint);
  with back as (
    select y.grant_id, least(y.remaining_minor, y.wanted - y.before)::bigint as amount from (
      select d.grant_id, d.remaining_minor, case g.kind when 'bonus' then by_bonus else release_hold.amount - by_bonus end as wanted,
        coalesce(sum(d.remaining_minor) over (partition by g.kind order by g.priority desc, g.expires_at desc nulls first, g.granted_at desc, g.id desc
          rows between unbounded preceding and 1 preceding), 0) as before
      from hold_draw d join wallet_grant g on g.member_id = d.member_id and g.id = d.grant_id where d.member_id = m and d.hold_id = h) y
    where y.wanted > y.before and y.remaining_minor > 0),
  lowered as (
    update hold_draw d set remaining_minor = d.remaining_minor - b.amount from back b where d.member_id = m and d.hold_id = h and d.grant_id = b.grant_id)
  update wallet_grant g set held_minor = g.held_minor - b.amount from back b where g.member_id = m and g.id = b.grant_id;
  update hold x set released_minor = x.released_minor + release_hold.amount,
      state = case when release_hold.amount = rest then 'released' else 'open' end, closed_at = case when release_hold.amount = rest then release_hold.at end
    where x.member_id = m and x.id = h;
  insert into hold_change (member_id, id, hold_id, request_hash, kind, amount_minor, at, reason, created_by)
    values (m, i, h, hash, 'release', amount, release_hold.at, why, who);
  update wallet x set held_minor = x.held_minor - release_hold.amount, next_expiry_at = next_expiry(m, o.currency) where x.member_id = m and x.currency = o.currency
    returning * into w;
  if w.next_expiry_at <= release_hold.at then
    perform expire_wallet(m, o.currency, release_hold.at);
  end if;
  return ('new', 0)::hold_result;
end $$;

-- Say that a charge of this id was the capture of a hold; called in the transaction of the charge.
create function note_capture(m uuid, h uuid, i uuid, who uuid) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
begin
  perform assert_own_books(array[m]);
  insert into hold_change (member_id, id, hold_id, request_hash, kind, amount_minor, at, reason, created_by)
    select m, i, h, t.request_hash, 'capture', -t.amount_minor, t.recorded_at, t.memo, who from ledger_transaction t where t.book_id = m and t.id = i;
end $$;

-- The job: end what has ended, wallet by wallet in member order, each batch in a few statements; what they give back past its date expires with it.
create function expire_holds(at timestamptz, most int) returns int
language plpgsql security definer set search_path = public, pg_temp as $$
declare c text; members uuid[]; done int := 0;
begin
  for c in select distinct h.currency from hold h where h.state = 'open' and h.expires_at <= expire_holds.at order by 1 loop
    select array_agg(x.member_id) into members from (
      select w.member_id from wallet w where w.currency = c and w.member_id in (
        select h.member_id from hold h where h.state = 'open' and h.expires_at <= expire_holds.at and h.currency = c order by h.expires_at limit most)
      order by w.member_id for no key update of w skip locked) x;
    done := done + close_ended_holds(coalesce(members, '{}'), c, expire_holds.at);
    perform expire_wallet(w.member_id, w.currency, expire_holds.at)
      from wallet w where w.member_id = any (members) and w.currency = c and w.next_expiry_at <= expire_holds.at;
  end loop;
  return done;
end $$;

-- What a wallet holds at an instant, whatever has ended by then and was not yet swept: paid, bonus, and held of both.
create function wallet_at(m uuid, c text, at timestamptz, out paid_minor bigint, out bonus_minor bigint, out held_minor bigint)
language sql stable as $$
  select coalesce(sum(x.amount) filter (where x.kind = 'paid'), 0)::bigint, coalesce(sum(x.amount) filter (where x.kind = 'bonus'), 0)::bigint,
    coalesce(sum(x.held), 0)::bigint
  from (select g.kind, d.held, case when g.expires_at <= wallet_at.at then d.held else g.remaining_minor end as amount
        from wallet_grant g cross join lateral (
          select case when g.held_minor = 0 then 0 else coalesce((
            select sum(y.remaining_minor) from hold_draw y join hold h on h.member_id = y.member_id and h.id = y.hold_id
            where y.member_id = g.member_id and y.grant_id = g.id and h.state = 'open' and (h.expires_at is null or h.expires_at > wallet_at.at)), 0) end as held) d
        where g.member_id = m and g.currency = c and g.is_open) x
$$;
create index hold_draw_grant_idx on hold_draw (member_id, grant_id) where remaining_minor > 0;

do $$
declare f text;
begin
  grant create on schema public to ledger;
  alter table hold_change owner to ledger;
  foreach f in array array['close_ended_holds(uuid[], text, timestamptz)', 'place_hold(hold_request)',
    'release_hold(uuid, uuid, uuid, bytea, bigint, text, uuid, timestamptz)', 'note_capture(uuid, uuid, uuid, uuid)', 'expire_holds(timestamptz, int)'] loop
    execute format('alter function %s owner to ledger', f);
    execute format('revoke execute on function %s from public', f);
  end loop;
  revoke create on schema public from ledger;
end $$;
grant select on hold_change to app_member, app_staff, app_system;
alter table hold_change enable row level security;
alter table hold_change force row level security;
create policy own_rows on hold_change to app_member using (member_id = acting_member()) with check (member_id = acting_member());
create policy all_rows on hold_change to app_staff, app_system, ledger, current_user using (true) with check (true);
grant execute on function place_hold(hold_request), release_hold(uuid, uuid, uuid, bytea, bigint, text, uuid, timestamptz), note_capture(uuid, uuid, uuid, uuid)
  to app_member, app_staff, app_system;
grant execute on function expire_holds(timestamptz, int) to app_system;
