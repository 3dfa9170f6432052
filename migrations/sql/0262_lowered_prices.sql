-- What staff give back of a subscription that goes on lowers its price (IFRS 15, 87-90): the days that are over are made good for at once, the others earn
-- less. So it counts over the whole service period of its charge, and needs no beginning of its own.
drop view deferral_line;
alter table deferral drop column counts_from;

create view deferral_line with (security_invoker = true) as
select d.*, s.id as subscription_id, s.product_line, micros(b.ends) as ends, micros(s.ended_at at time zone e.timezone) as ended,
  micros(case when s.proration_unit = 'day' then date_trunc('day', b.starts) else b.starts end) as starts,
  (select array_agg(int8range(micros(p.from_at at time zone e.timezone), micros(p.until_at at time zone e.timezone))) from subscription_pause p
    where p.member_id = s.member_id and p.subscription_id = s.id and p.until_at is distinct from p.from_at) as pauses
from deferral d
join subscription_charge c on c.member_id = d.member_id and c.id = d.charge_id
join subscription s on s.member_id = c.member_id and s.id = c.subscription_id
join legal_entity e on e.id = d.entity_id
cross join lateral (select c.service_from at time zone e.timezone as starts, c.service_until at time zone e.timezone as ends) b;

grant create on schema public to ledger;
alter view deferral_line owner to ledger;
revoke create on schema public from ledger;
grant select on deferral_line to app_member, app_staff, app_system;

-- Take up what has been charged and given back since the last time.
create or replace function take_up_deferrals(e uuid, zone text) returns void language plpgsql security definer set search_path = public, pg_temp set enable_seqscan = off as $$
declare taken int;
begin
  with fresh as (
    select c.member_id, c.id from subscription_charge c join member m on m.id = c.member_id
    where c.state = 'paid' and not c.is_deferred and m.entity_id = e order by c.member_id, c.id for no key update of c skip locked),
  marked as (update subscription_charge c set is_deferred = true from fresh f where c.member_id = f.member_id and c.id = f.id)
  insert into deferral (member_id, id, charge_id, entity_id, currency, deferred_minor, recognised_minor, posted_on, is_open)
    select f.member_id, f.id, f.id, e, t.currency, p.amount, 0, (t.effective_at at time zone zone)::date, true
    from fresh f join ledger_transaction t on t.book_id = f.member_id and t.id = f.id cross join lateral (
      select sum(case when p.target = 26 then p.amount_minor else -p.amount_minor end)::bigint as amount from posting p
      where p.book_id = t.book_id and p.transaction_id = t.id and 26 in (p.source, p.target)) p
    where p.amount is not null and p.amount <> 0;
  -- What was given back without a charge of its own (by staff, or a correction) lowers the price of the charge it goes back to, from its first day on.
  loop
    insert into deferral (member_id, id, charge_id, entity_id, currency, deferred_minor, recognised_minor, posted_on, is_open)
      select d.member_id, t.id, d.charge_id, e, t.currency, p.amount, 0, (t.effective_at at time zone zone)::date, true
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
