-- As in 0243, with the consumption order: what renewals are going to take from each wallet, one after another, by the rule of charge_many (0203) on what is paid
-- and what is bonus. `lacking_minor` is what a top-up has to bring for one once all before it are paid. Money that expires before the day does not count, a
-- frozen wallet pays nothing, and bonus does not pay tax. (One member's own forecast is asked of the ledger itself: foresee_charges.)
drop function forecast_renewals(subscription[]);
create function forecast_renewals(rows subscription[], consumption_order text) returns setof renewal_forecast language plpgsql stable as $$
#variable_conflict use_column
declare
  n record; f renewal_forecast; last_member uuid; last_currency text; gone_paid bigint; gone_bonus bigint; gone_credit bigint;
  paid bigint; bonus bigint; credit bigint; usable bigint; lacking bigint; by_bonus bigint; by_paid bigint;
begin
  for n in
    select t.*, w.paid as has_paid, w.bonus as has_bonus, case when v.state = 'open' then greatest(v.credit_limit_minor - v.receivable_minor, 0) else 0 end as has_credit
    from next_terms(rows) t
    left join wallet v on v.member_id = t.member_id and v.currency = t.currency
    cross join lateral (
      select coalesce(sum(g.remaining_minor - g.held_minor) filter (where g.kind = 'paid' and v.state = 'open'), 0)::bigint as paid,
        coalesce(sum(g.remaining_minor - g.held_minor) filter (where g.kind = 'bonus' and v.state = 'open'), 0)::bigint as bonus
      from wallet_grant g where g.member_id = t.member_id and g.currency = t.currency and g.is_open and (g.expires_at is null or g.expires_at > t.begins_at)
    ) w
    order by t.member_id, t.currency, t.begins_at, t.started_at, t.id
  loop
    if (n.member_id, n.currency) is distinct from (last_member, last_currency) then
      last_member := n.member_id; last_currency := n.currency; gone_paid := 0; gone_bonus := 0; gone_credit := 0;
    end if;
    lacking := 0;
    if n.is_charged then
      paid := greatest(n.has_paid - gone_paid, 0); bonus := greatest(n.has_bonus - gone_bonus, 0); credit := greatest(n.has_credit - gone_credit, 0);
      usable := least(n.price_minor - n.tax_minor, bonus);
      lacking := greatest(n.price_minor - usable - paid - credit, 0);
      by_bonus := case
        when lacking > 0 then usable
        when consumption_order = 'paid_first' then least(usable, greatest(n.price_minor - paid, 0))
        when consumption_order = 'proportional' then case when bonus = 0 then 0
          else least(usable, greatest(round(n.price_minor::numeric * bonus / (bonus + paid))::bigint, n.price_minor - paid)) end
        else usable end;
      by_paid := least(paid, n.price_minor - by_bonus - lacking);
      gone_bonus := gone_bonus + by_bonus; gone_paid := gone_paid + by_paid; gone_credit := gone_credit + n.price_minor - by_bonus - by_paid - lacking;
    end if;
    f := (n.member_id, n.id, n.product_line, n.currency, n.timezone, n.state, n.rank, n.seats, n.period, n.begins_at, n.ends_at, n.price_minor, n.tax_minor,
      n.charge_id, n.due_at, n.is_cancelled, n.fault, n.has_paid + n.has_bonus + n.has_credit, lacking);
    return next f;
  end loop;
end $$;
revoke execute on function forecast_renewals(subscription[], text) from public;
grant execute on function forecast_renewals(subscription[], text) to app_member, app_staff, app_system;
