-- What became of a partner's services, added up for everybody to see; whose they were stays hidden.
create function partner_records() returns table (
  publisher_id uuid, orders bigint, running bigint, completed bigint, cancelled bigint, delivered bigint, on_time bigint, disputed bigint
) language sql stable security definer set search_path = public, pg_temp as $$
  select o.publisher_id, count(*), count(*) filter (where o.state = 'running'), count(*) filter (where o.state = 'completed'),
    count(*) filter (where o.state in ('cancelled', 'lapsed')), coalesce(sum(m.delivered), 0)::bigint, coalesce(sum(m.on_time), 0)::bigint,
    coalesce(sum(m.disputed), 0)::bigint
  from service_order o cross join lateral (
    select count(x.delivered_at) as delivered, count(*) filter (where x.delivered_at <= x.due_at) as on_time, count(x.dispute_reason) as disputed
    from service_milestone x where x.member_id = o.member_id and x.order_id = o.id) m
  group by o.publisher_id
$$;
revoke execute on function partner_records() from public;
grant execute on function partner_records() to app_member, app_staff, app_system, app_publisher;
