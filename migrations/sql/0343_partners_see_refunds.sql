-- A partner's statement names the order that a refund was of: of its own sales, which is what it sees of store_order.
grant select on order_refund to app_publisher;
create policy own_sales on order_refund for select to app_publisher
  using (exists (select from store_order o where o.member_id = order_refund.member_id and o.id = order_refund.order_id));
