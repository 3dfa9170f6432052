-- Subscriptions as their terms will end, seen from `at`: members can still be told in time of the lists that are in force by then, so those count as known
-- (billing/renewal/renewal_notices.py tells them). next_terms says of these rows what the renewal run will charge; of the rows themselves, what it would today.
create function as_told(rows subscription[], at timestamptz, notice_days bigint) returns setof subscription language plpgsql immutable parallel safe as $$
declare s subscription; told_by timestamptz := as_told.at + make_interval(hours => 24 * notice_days::int);
begin
  foreach s in array rows loop
    if s.term_end >= told_by then
      s.priced_at := s.term_end;
    end if;
    return next s;
  end loop;
end $$;
revoke execute on function as_told(subscription[], timestamptz, bigint) from public;
grant execute on function as_told(subscription[], timestamptz, bigint) to app_member, app_staff, app_system;

-- What charges to come will draw, one after another, each once all before it are paid: where one lacks money, what is there goes into it, as it will when a
-- top-up has brought the rest. It really charges: the caller takes it back (billing/wallet/wallets.py: foresee).
create function foresee_charges(requests charge_request[]) returns setof charge_result language plpgsql as $$
declare r charge_request; c charge_result; room bigint;
begin
  foreach r in array requests loop
    select * into c from charge_many(array[r]);
    return next c;
    if c.status = 'insufficient_funds' then
      room := (select sum(a) from unnest(r.amounts) a) - c.missing_minor;
      continue when room = 0;
      for t in 1..cardinality(r.amounts) loop
        r.amounts[t] := least(r.amounts[t], room);
        r.bonus_limits[t] := least(r.bonus_limits[t], r.amounts[t]);
        room := room - r.amounts[t];
      end loop;
      r.id := md5(r.id || ' what is there')::uuid;
      perform charge_many(array[r]);
    end if;
  end loop;
end $$;
revoke execute on function foresee_charges(charge_request[]) from public;
grant execute on function foresee_charges(charge_request[]) to app_member, app_staff, app_system;
