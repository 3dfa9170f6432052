-- Buyers of a service rate it once an order: a review is about a listing or, of a service, about one order of it (decision 0063).
alter table review add column id uuid not null default gen_random_uuid(), add column order_id uuid;
alter table review_report add column review_id uuid;
update review_report p set review_id = r.id from review r where r.member_id = p.author_id and r.listing_id = p.listing_id;
alter table review_report alter column review_id set not null;
alter table review_report drop constraint review_report_author_id_fkey;
drop index review_report_open_idx;

alter table review drop constraint review_pkey;
alter table review alter column id drop default;
alter table review add constraint review_pkey primary key (member_id, id);
alter table review add constraint review_member_id_order_id_fkey foreign key (member_id, order_id) references service_order (member_id, id);
create unique index review_one_each_idx on review (member_id, listing_id) where order_id is null;
create unique index review_one_an_order_idx on review (member_id, order_id) where order_id is not null;
create unique index review_id_idx on review (id);

alter table review_report add constraint review_report_author_id_fkey foreign key (author_id, review_id) references review (member_id, id);
create unique index review_report_open_idx on review_report (member_id, review_id) where decision is null;
grant insert (id, order_id) on review to app_member;  -- what it is about never changes
