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

-- Local times count in microseconds, so that a share of them is whole-number arithmetic.
create function micros(local timestamp) returns bigint language sql immutable as $$ select (extract(epoch from local) * 1000000)::bigint $$;

-- Each line with its service period in the local time of its legal entity. A day counts in full where terms are divided by days.
-- `pauses` are ranges that do not count, null where there are none; one without an end is still under way.
create view deferral_line with (security_invoker = true) as
select d.*, s.id as subscription_id, s.product_line, micros(b.ends) as ends, micros(s.ended_at at time zone e.timezone) as ended,
  micros(case when s.proration_unit = 'day' then date_trunc('day', b.starts) else b.starts end) as starts,
  (select array_agg(int8range(micros(p.from_at at time zone e.timezone), micros(p.until_at at time zone e.timezone))) from subscription_pause p
    where p.member_id = s.member_id and p.subscription_id = s.id and p.until_at is distinct from p.from_at) as pauses
from deferral d
join subscription_charge c on c.member_id = d.member_id and c.id = d.charge_id
join subscription s on s.member_id = c.member_id and s.id = c.subscription_id
join legal_entity e on e.id = d.entity_id
cross join lateral (select greatest(c.service_from, d.counts_from) at time zone e.timezone as starts, c.service_until at time zone e.timezone as ends) b;

-- What of a line has been earned by a local instant: its even share of the service period, rounded half up; as a running total, so parts sum to the whole.
create function earned(net bigint, starts bigint, ends bigint, upto bigint) returns bigint language sql immutable as $$
  select case when upto >= ends then net when upto <= starts then 0 else round(net::numeric * (upto - starts) / (ends - starts))::bigint end
$$;

-- The same, where time was paused in between.
create function earned_paused(net bigint, starts bigint, ends bigint, upto bigint, pauses int8range[]) returns bigint language sql immutable as $$
  with pause as (
    select greatest(lower(r), starts) as since, least(upper(r), ends) as till, upper(r) is null as is_open
    from unnest(pauses) r where lower(r) < ends and (upper(r) is null or upper(r) > starts)),
  gone as (
    select coalesce(bool_or(is_open), false) as is_paused, coalesce(sum(till - since) filter (where not is_open), 0) as never,
      coalesce(sum(greatest(0, least(till, upto) - since)), 0) as not_served from pause)
  select case when upto <= starts then 0
    when ends <= starts or (upto >= ends and not is_paused) then net
    else round(net * (least(upto, ends) - starts - not_served) / (ends - starts - never))::bigint end
  from gone
$$;

-- What has been earned of a line by the end of a day. When its subscription has ended nothing is left to be delivered: the rest is earned that day.
create function earned_of(net bigint, starts bigint, ends bigint, ended bigint, pauses int8range[], upto bigint) returns bigint language sql immutable as $$
  select case when ended < upto then net when pauses is null then earned(net, starts, ends, upto) else earned_paused(net, starts, ends, upto, pauses) end
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
create function take_up_deferrals(e uuid, zone text) returns void language plpgsql security definer set search_path = public, pg_temp set enable_seqscan = off as $$
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

-- Recognise days that are over at `at`: the earliest of one entity and currency and those after it, `most` at once; no row, when all days are done.
-- A day is one entry, effective at its last instant however late it is written: as-of questions answer the same. A second run waits for the first and finds
-- the days done. Lines are found by keys, whatever the statistics of a table that was empty once say. What was paid late, or came too late for its day, is earned with the next, as far as it has been served.
create function recognise_days(at timestamptz, most int) returns setof recognition_day
language plpgsql security definer set search_path = public, pg_temp set enable_seqscan = off as $$
declare n record; r record; zone text; house uuid; first date; last date; number bigint; tx uuid;
begin
  select d.* into n from recognition_due() d where d.due_at <= recognise_days.at order by d.due_at, d.entity_id, d.currency limit 1;
  if not found then return; end if;
  select e.timezone into zone from legal_entity e where e.id = n.entity_id;
  select b.id into house from book b where b.kind = 'house' and b.entity_id = n.entity_id order by b.id limit 1;
  assert house is not null, 'a legal entity has a house book';
  insert into ledger_position (book_id, currency, last_seq) values (house, n.currency, 0) on conflict do nothing;
  perform from ledger_position p where p.book_id = house and p.currency = n.currency for no key update;
  select d.day into first from recognition_due() d where d.entity_id = n.entity_id and d.currency = n.currency and d.due_at <= recognise_days.at;
  if first is null then return; end if;  -- another run has just done it
  last := least(first + most - 1, (recognise_days.at at time zone zone)::date - 1);
  perform take_up_deferrals(n.entity_id, zone);

  for r in
    with line as materialized (
      select l.*, exists (select from unnest(l.pauses) p where upper(p) is null and lower(p) < l.ends) as is_paused from deferral_line l
      where l.is_open and l.entity_id = n.entity_id and l.currency = n.currency and l.posted_on <= last),
    upto as (
      select first + g as day, micros((first + g + 1)::timestamp) as instant from generate_series(0, last - first) g),
    running as (
      select u.day, coalesce(sum(earned_of(l.deferred_minor, l.starts, l.ends, l.ended, l.pauses, u.instant)) filter (where l.posted_on <= u.day), 0)::bigint as total
      from upto u left join line l on true group by u.day),
    changed as (
      update deferral d set recognised_minor = x.earned, is_open = not x.is_over from (
        select l.member_id, l.id, l.recognised_minor, earned_of(l.deferred_minor, l.starts, l.ends, l.ended, l.pauses, u.instant) as earned,
          coalesce(l.ended < u.instant, false) or (u.instant >= l.ends and not l.is_paused) as is_over
        from line l join upto u on u.day = last) x
      where d.member_id = x.member_id and d.id = x.id and (x.earned <> x.recognised_minor or x.is_over))
    select x.day, x.total - lag(x.total, 1, (select coalesce(sum(l.recognised_minor), 0)::bigint from line l)) over (order by x.day) as amount
    from running x order by x.day
  loop
    insert into recognition_day values (n.entity_id, n.currency, r.day, r.amount, recognise_days.at);
    if r.amount <> 0 then
      tx := md5('recognition:' || n.entity_id || ':' || n.currency || ':' || r.day)::uuid;
      update ledger_position p set last_seq = p.last_seq + 1 where p.book_id = house and p.currency = n.currency returning p.last_seq into number;
      insert into ledger_transaction (book_id, id, kind, currency, seq, effective_at, recorded_at, request_hash, amount_minor, memo)
        values (house, tx, 'recognition', n.currency, number, (r.day + 1)::timestamp at time zone zone - interval '1 microsecond', recognise_days.at,
          sha256(convert_to(tx::text, 'UTF8')), 0, r.day::text);
      insert into posting values (house, tx, 1, case when r.amount > 0 then 26 else 40 end, case when r.amount > 0 then 40 else 26 end, abs(r.amount), null);
    end if;
    return next (n.entity_id, n.currency, r.day, r.amount, recognise_days.at)::recognition_day;
  end loop;
end $$;

do $$
declare f text;
begin
  grant create on schema public to ledger;
  alter table deferral owner to ledger;
  alter table recognition_day owner to ledger;
  alter view deferral_line owner to ledger;
  foreach f in array array['take_up_deferrals(uuid, text)', 'recognise_days(timestamptz, int)'] loop
    execute format('alter function %s owner to ledger', f);
    execute format('revoke execute on function %s from public', f);
  end loop;
  revoke create on schema public from ledger;
end $$;
grant execute on function recognise_days(timestamptz, int) to app_staff, app_system;
grant select on deferral, deferral_line to app_member, app_staff, app_system;
grant select on recognition_day to app_staff, app_system;
grant select on subscription, subscription_pause, subscription_charge, member, legal_entity to ledger;
grant update (is_deferred) on subscription_charge to ledger;
alter table deferral enable row level security;
alter table deferral force row level security;
create policy own_rows on deferral to app_member using (member_id = acting_member()) with check (member_id = acting_member());
create policy all_rows on deferral to app_staff, app_system, ledger, current_user using (true) with check (true);
