-- Publishers offer services: milestones carry their amounts, and the price is their sum (decision 0062). Shares of a price could not say every amount.
create function are_milestones(m jsonb, price_minor bigint) returns boolean language sql immutable as $$
  select jsonb_typeof(m) = 'array' and jsonb_array_length(m) between 1 and 20
    and (select sum((x->>'amount_minor')::bigint) = price_minor and min((x->>'amount_minor')::bigint) > 0 and min((x->>'days')::int) > 0
      from jsonb_array_elements(m) x)
$$;
alter table listing drop constraint listing_milestones_check;
-- What is on offer keeps its price and, to the cent, what an order of it would have laid out: largest remainder, ties to the earlier one.
update listing l set milestones = n.milestones from (
  select id, jsonb_agg(m - 'share_bp' || jsonb_build_object('amount_minor', base + (rank <= missing)::int) order by position) as milestones
  from (
    select id, m, position, base, price_minor - sum(base) over (partition by id) as missing,
      row_number() over (partition by id order by remainder desc, position) as rank
    from (
      select x.id, x.price_minor, e.m, e.position, x.price_minor * (e.m->>'share_bp')::bigint / 10000 as base,
        x.price_minor * (e.m->>'share_bp')::bigint % 10000 as remainder
      from listing x, jsonb_array_elements(x.milestones) with ordinality e(m, position) where x.milestones is not null) part) ranked
  group by id) n
where n.id = l.id;
alter table listing add constraint listing_milestones_check check (milestones is null or are_milestones(milestones, price_minor));
drop function are_milestones(jsonb);
grant update (milestones) on listing to app_publisher;  -- of its drafts alone, as all the rest

-- A service has versions like everything else: which one was ordered.
alter table service_order add column version text not null default '1.0.0';
