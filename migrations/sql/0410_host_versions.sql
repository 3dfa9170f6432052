-- Which version of each product members run, and which versions a listing works with: compared at purchase, install and update, and by the store's search.
alter table product_line add column release text not null default '1.0';

create table host_version (
  member_id uuid not null references member (id), product_line text not null references product_line (code), version text not null,
  source text not null, at timestamptz not null,
  constraint host_version_pkey primary key (member_id, product_line),
  constraint host_version_source_check check (source in ('reported', 'entered'))
);
alter table host_version enable row level security;
alter table host_version force row level security;
create policy own_rows on host_version to app_member using (member_id = acting_member()) with check (member_id = acting_member());
create policy all_rows on host_version to app_staff, app_system, ledger, current_user using (true) with check (true);
grant select, insert, update on host_version to app_member;
grant select, insert, update, delete on host_version to app_staff, app_system;

-- Of the version on sale, as its manifest says; null: it names none. Kept by whoever puts a version on sale (lifecycle.offer_newest, publishing.publish).
alter table listing add column host_version text;
alter table listing_requirement add column host_version text;
alter table listing_requirement drop constraint listing_requirement_key;
alter table listing_requirement add constraint listing_requirement_key
  unique nulls not distinct (product_line, required_rank, required_features, host_version);

-- As in 0310, with the host version among what a listing asks of its buyer.
create or replace function index_listing() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
declare requirement int; cell int; average smallint; names text[];
begin
  if new.state <> 'published' or new.current_version is null or new.search is null then
    delete from listing_index where listing_id = new.id;
    return null;
  end if;
  average := case when new.rating_count > 0 then new.rating_sum / new.rating_count else 0 end;
  names := array[lower(normalize(new.name_zh, nfkc)), lower(normalize(new.name_en, nfkc)), new.slug];
  loop  -- looked up first: an insert that meets a row would use a number up each time
    select id into requirement from listing_requirement q
      where q.product_line is not distinct from new.product_line and q.required_rank = new.required_rank and q.required_features = new.required_features
        and q.host_version is not distinct from new.host_version;
    exit when found;
    insert into listing_requirement (product_line, required_rank, required_features, host_version)
      values (new.product_line, new.required_rank, new.required_features, new.host_version)
      on conflict on constraint listing_requirement_key do nothing;
  end loop;
  loop
    select id into cell from listing_cell c
      where c.kind = new.kind and c.category = new.category and c.is_free = (new.price_minor = 0) and c.requirement_id = requirement and c.stars = average;
    exit when found;
    insert into listing_cell (kind, category, is_free, requirement_id, stars) values (new.kind, new.category, new.price_minor = 0, requirement, average)
      on conflict on constraint listing_cell_key do nothing;
  end loop;
  insert into listing_index values (
      new.id, cell, (1000 * new.rating_sum + 10500) / (new.rating_count + 3), new.price_minor, new.updated_at, new.slug,
      array_to_tsvector(tsvector_to_array(new.search) || marked_terms('~', ts_filter(new.search, '{a}'))
        || marked_terms('^', ts_filter(new.search, '{a,b}')) || array(select '=' || left(n, 500) from unnest(names) n)))
    on conflict (listing_id) do update set (cell_id, score, price_minor, updated_at, slug, terms)
      = row (excluded.cell_id, excluded.score, excluded.price_minor, excluded.updated_at, excluded.slug, excluded.terms);
  insert into search_word select distinct m[1] from regexp_matches(names[2], '[a-z0-9]{3,40}', 'g') m on conflict do nothing;
  return null;
end $$;

-- Backfill, through the trigger; what no listing stands in any more is put away.
update listing l set host_version = v.manifest ->> 'host_version' from listing_version v
  where v.listing_id = l.id and v.number = l.current_version and v.manifest ->> 'host_version' is not null;
delete from listing_cell c where not exists (select from listing_index i where i.cell_id = c.id);
delete from listing_requirement q where not exists (select from listing_cell c where c.requirement_id = q.id);
