-- Deferred revenue is earned day by day (books, move 10; decision 0030): one entry a day in the house book of each legal entity and currency.

-- A paid charge is taken up into the schedule once.
alter table subscription_charge add column is_deferred boolean not null default false;
create index subscription_charge_new_idx on subscription_charge (member_id, id) where state = 'paid' and not is_deferred;

-- What one entry put into deferred revenue (or took out of it, below zero), and how much of that has been recognised so far.
create table deferral (
  member_id uuid not null, id uuid not null, charge_id uuid not null, entity_id uuid not null, currency text not null,
  deferred_minor bigint not null, recognised_minor bigint not null, posted_on date not null, counts_from timestamptz, is_open boolean not null,
  constraint deferral_pkey primary key (member_id, id),
  constraint deferral_member_id_id_fkey foreign key (member_id, id) references ledger_transaction (book_id, id),
  constraint deferral_member_id_charge_id_fkey foreign key (member_id, charge_id) references subscription_charge (member_id, id),
  constraint deferral_recognised_check check (recognised_minor between least(0, deferred_minor) and greatest(0, deferred_minor)),
  constraint deferral_open_check check (is_open or recognised_minor = deferred_minor)
) with (fillfactor = 70);
create index deferral_open_idx on deferral (entity_id, currency) where is_open;

-- Which local days are done, and what each brought.
create table recognition_day (
  entity_id uuid not null, currency text not null, day date not null, amount_minor bigint not null, recorded_at timestamptz not null,
  constraint recognition_day_pkey primary key (entity_id, currency, day),
  constraint recognition_day_entity_id_fkey foreign key (entity_id) references legal_entity (id)
);

-- Each line with its service period in the local time of its legal entity. A day counts in full where terms are divided by days.
-- `pauses` are ranges that do not count, null where there are none; one without an end is still under way.
create view deferral_line with (security_invoker = true) as
select d.*, s.id as subscription_id, s.product_line, b.ends, s.ended_at at time zone e.timezone as ended,
  case when s.proration_unit = 'day' then date_trunc('day', b.starts) else b.starts end as starts,
  (select array_agg(tsrange(p.from_at at time zone e.timezone, p.until_at at time zone e.timezone)) from subscription_pause p
    where p.member_id = s.member_id and p.subscription_id = s.id and p.until_at is distinct from p.from_at) as pauses
from deferral d
join subscription_charge c on c.member_id = d.member_id and c.id = d.charge_id
join subscription s on s.member_id = c.member_id and s.id = c.subscription_id
join legal_entity e on e.id = d.entity_id
cross join lateral (select greatest(c.service_from, d.counts_from) at time zone e.timezone as starts, c.service_until at time zone e.timezone as ends) b;

-- What of a line has been earned by a local instant: its even share of the service period, rounded half up; as a running total, so parts sum to the whole.
create function earned(net bigint, starts timestamp, ends timestamp, upto timestamp) returns bigint language sql immutable as $$
  select case when upto >= ends then net when upto <= starts then 0
    else round(net * extract(epoch from upto - starts) / extract(epoch from ends - starts))::bigint end
$$;

-- The same, where time was paused in between.
create function earned_paused(net bigint, starts timestamp, ends timestamp, upto timestamp, pauses tsrange[]) returns bigint language sql immutable as $$
  with pause as (
    select greatest(lower(r), starts) as since, least(upper(r), ends) as till, upper(r) is null as is_open
    from unnest(pauses) r where lower(r) < ends and (upper(r) is null or upper(r) > starts)),
  gone as (
    select coalesce(bool_or(is_open), false) as is_paused, coalesce(sum(extract(epoch from till - since)) filter (where not is_open), 0) as never,
      coalesce(sum(greatest(0, extract(epoch from least(till, upto) - since))), 0) as not_served from pause)
  select case when upto <= starts then 0
    when ends <= starts or (upto >= ends and not is_paused) then net
    else round(net * (extract(epoch from least(upto, ends) - starts) - not_served) / (extract(epoch from ends - starts) - never))::bigint end
  from gone
$$;

-- What has been earned of a line by the end of a day. When its subscription has ended nothing is left to be delivered: the rest is earned that day.
create function earned_of(l deferral_line, upto timestamp) returns bigint language sql immutable as $$
  select case when l.ended < upto then l.deferred_minor when l.pauses is null then earned(l.deferred_minor, l.starts, l.ends, upto)
    else earned_paused(l.deferred_minor, l.starts, l.ends, upto, l.pauses) end
$$;

-- The next day of each legal entity and currency, and the instant at which it is over.
create function recognition_due() returns table (entity_id uuid, currency text, day date, due_at timestamptz) language sql stable as $$
  select x.entity_id, x.currency, x.day, (x.day + 1)::timestamp at time zone x.timezone from (
    select e.id as entity_id, e.timezone, k.currency,
      coalesce((select max(r.day) + 1 from recognition_day r where r.entity_id = e.id and r.currency = k.currency),
        (select (min(c.paid_at) at time zone e.timezone)::date from subscription_charge c join member m on m.id = c.member_id
          where c.state = 'paid' and not c.is_deferred and m.entity_id = e.id and c.currency = k.currency)) as day
    from legal_entity e cross join lateral (
      select e.currency union select r.currency from recognition_day r where r.entity_id = e.id
      union select c.currency from subscription_charge c join member m on m.id = c.member_id where c.state = 'paid' and not c.is_deferred and m.entity_id = e.id
    ) k(currency)
  ) x where x.day is not null
$$;

-- Take up what has been charged and given back since the last time.
create function take_up_deferrals(e uuid, zone text) returns void language plpgsql security definer set search_path = public, pg_temp as $$
declare taken int;
begin
  with fresh as (
    select c.member_id, c.id from subscription_charge c join member m on m.id = c.member_id
    where c.state = 'paid' and not c.is_deferred and m.entity_id = e order by c.member_id, c.id for no key update of c skip locked),
  marked as (update subscription_charge c set is_deferred = true from fresh f where c.member_id = f.member_id and c.id = f.id)
  insert into deferral (member_id, id, charge_id, entity_id, currency, deferred_minor, recognised_minor, posted_on, counts_from, is_open)
    select f.member_id, f.id, f.id, e, t.currency, p.amount, 0, (t.effective_at at time zone zone)::date, null, true
    from fresh f join ledger_transaction t on t.book_id = f.member_id and t.id = f.id cross join lateral (
      select sum(case when p.target = 26 then p.amount_minor else -p.amount_minor end)::bigint as amount from posting p
      where p.book_id = t.book_id and p.transaction_id = t.id and 26 in (p.source, p.target)) p
    where p.amount is not null and p.amount <> 0;
  -- What was given back without a charge of its own (by staff, or a correction) counts over the rest of the service period of the charge it goes back to.
  loop
    insert into deferral (member_id, id, charge_id, entity_id, currency, deferred_minor, recognised_minor, posted_on, counts_from, is_open)
      select d.member_id, t.id, d.charge_id, e, t.currency, p.amount, 0, (t.effective_at at time zone zone)::date, t.effective_at, true
      from ledger_transaction t join deferral d on d.member_id = t.book_id and d.id = t.reverses_id and d.entity_id = e cross join lateral (
        select sum(case when p.target = 26 then p.amount_minor else -p.amount_minor end)::bigint as amount from posting p
        where p.book_id = t.book_id and p.transaction_id = t.id and 26 in (p.source, p.target)) p
      where t.reverses_id is not null and p.amount <> 0
        and not exists (select from deferral x where x.member_id = t.book_id and x.id = t.id)
        and not exists (select from subscription_charge c where c.member_id = t.book_id and c.id = t.id)
      on conflict do nothing;
    get diagnostics taken = row_count;
    exit when taken = 0;
  end loop;
end $$;

-- Recognise the next day that is over at `at`: of which entity and currency, which day, how much; nothing, when all days are done.
-- One entry whose effective instant is the last of that day, however late it is written: as-of questions answer the same. A second run of the same day waits
-- for the first and then finds it done. What was paid late, or came too late for its day, is earned with the next day, as far as it has been served.
create function recognise_next(at timestamptz) returns table (entity_id uuid, currency text, day date, amount_minor bigint)
language plpgsql security definer set search_path = public, pg_temp as $$
declare n record; zone text; house uuid; upto timestamp; earned_today bigint; number bigint; tx uuid;
begin
  select r.* into n from recognition_due() r where r.due_at <= recognise_next.at order by r.due_at, r.entity_id, r.currency limit 1;
  if not found then return; end if;
  select e.timezone into zone from legal_entity e where e.id = n.entity_id;
  select b.id into house from book b where b.kind = 'house' and b.entity_id = n.entity_id order by b.id limit 1;
  assert house is not null, 'a legal entity has a house book';
  insert into ledger_position (book_id, currency, last_seq) values (house, n.currency, 0) on conflict do nothing;
  perform from ledger_position p where p.book_id = house and p.currency = n.currency for no key update;
  select r.day into n.day from recognition_due() r where r.entity_id = n.entity_id and r.currency = n.currency and r.due_at <= recognise_next.at;
  if not found then return; end if;  -- another run has just done it
  perform take_up_deferrals(n.entity_id, zone);

  upto := (n.day + 1)::timestamp;
  with line as (
    select l.member_id, l.id, earned_of(l, upto) as earned,
      l.ended < upto or (upto >= l.ends and not exists (select from unnest(l.pauses) r where upper(r) is null and lower(r) < l.ends)) as is_over
    from deferral_line l where l.is_open and l.entity_id = n.entity_id and l.currency = n.currency and l.posted_on <= n.day),
  changed as (
    update deferral d set recognised_minor = l.earned, is_open = not coalesce(l.is_over, false)
    from line l join deferral was on was.member_id = l.member_id and was.id = l.id
    where d.member_id = l.member_id and d.id = l.id and (was.recognised_minor <> l.earned or l.is_over)
    returning l.earned - was.recognised_minor as amount)
  select coalesce(sum(c.amount), 0)::bigint into earned_today from changed c;

  insert into recognition_day values (n.entity_id, n.currency, n.day, earned_today, recognise_next.at);
  if earned_today <> 0 then
    tx := md5('recognition:' || n.entity_id || ':' || n.currency || ':' || n.day)::uuid;
    update ledger_position p set last_seq = p.last_seq + 1 where p.book_id = house and p.currency = n.currency returning p.last_seq into number;
    insert into ledger_transaction (book_id, id, kind, currency, seq, effective_at, recorded_at, request_hash, amount_minor, memo)
      values (house, tx, 'recognition', n.currency, number, upto at time zone zone - interval '1 microsecond', recognise_next.at,
        sha256(convert_to(tx::text, 'UTF8')), 0, n.day::text);
    insert into posting values (house, tx, 1, case when earned_today > 0 then 26 else 40 end, case when earned_today > 0 then 40 else 26 end, abs(earned_today), null);
  end if;
  return query select n.entity_id, n.currency, n.day, earned_today;
end $$;

do $$
declare f text;
begin
  grant create on schema public to ledger;
  alter table deferral owner to ledger;
  alter table recognition_day owner to ledger;
  alter view deferral_line owner to ledger;
  foreach f in array array['take_up_deferrals(uuid, text)', 'recognise_next(timestamptz)'] loop
    execute format('alter function %s owner to ledger', f);
    execute format('revoke execute on function %s from public', f);
  end loop;
  revoke create on schema public from ledger;
end $$;
grant execute on function recognise_next(timestamptz) to app_staff, app_system;
grant select on deferral, deferral_line to app_member, app_staff, app_system;
grant select on recognition_day to app_staff, app_system;
grant select on subscription, subscription_pause, subscription_charge, member, legal_entity to ledger;
grant update (is_deferred) on subscription_charge to ledger;
alter table deferral enable row level security;
alter table deferral force row level security;
create policy own_rows on deferral to app_member using (member_id = acting_member()) with check (member_id = acting_member());
create policy all_rows on deferral to app_staff, app_system, ledger, current_user using (true) with check (true);
