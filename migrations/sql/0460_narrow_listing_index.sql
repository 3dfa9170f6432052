-- Rows of a hundred bytes instead of two thousand: counting what a frequent term matches visits a tenth of the pages (decision 0045).
lock table listing in share row exclusive mode;

-- What facets count by, in two halves, so that what a search counts is added up over a few hundred rows and not over all their combinations.
create table listing_shelf (
  id int generated always as identity primary key,
  kind text collate "C" not null, category text collate "C" not null, is_free boolean not null,
  constraint listing_shelf_key unique (kind, category, is_free)
);
create table listing_grade (
  id int generated always as identity primary key,
  requirement_id int not null references listing_requirement (id),
  stars smallint not null,  -- average rating, rounded down; 0 where nobody has voted
  constraint listing_grade_key unique (requirement_id, stars)
);
insert into listing_shelf (kind, category, is_free) select distinct kind, category, is_free from listing_cell;
insert into listing_grade (requirement_id, stars) select distinct requirement_id, stars from listing_cell;

alter table listing_index rename to wide_listing_index;
create table listing_index (
  shelf_id int not null references listing_shelf (id),  -- what is counted stands first, and each row has it at the same place
  grade_id int not null references listing_grade (id),
  updated_at timestamptz not null,
  score int not null,  -- Bayesian average of stars in thousandths: drawn towards 3.5 as long as few have voted
  price_minor bigint not null,
  listing_id uuid not null references listing (id),
  slug text collate "C" not null,
  terms tsvector not null,  -- all terms; those of the name again behind '~', of name and summary behind '^', whole names behind '='
  -- Only of rows over 2 kB does PostgreSQL keep a value elsewhere. This makes every row so that gets new terms, and shrinks to 35 bytes itself.
  padding text generated always as (case when terms is not null then repeat(' ', 2000) end) stored
) with (toast_tuple_target = 256);
alter table listing_index alter slug set storage main, alter terms set storage external, alter padding set storage main;
insert into listing_index (shelf_id, grade_id, updated_at, score, price_minor, listing_id, slug, terms)
  select s.id, g.id, w.updated_at, w.score, w.price_minor, w.listing_id, w.slug, w.terms
  from wide_listing_index w join listing_cell c on c.id = w.cell_id join listing_shelf s using (kind, category, is_free)
    join listing_grade g using (requirement_id, stars);
drop table wide_listing_index, listing_cell;

alter table listing_index add constraint listing_index_pkey primary key (listing_id);
create index listing_index_terms_idx on listing_index using gin (terms) with (fastupdate = off);
create index listing_index_score_idx on listing_index (score desc, slug);
create index listing_index_updated_idx on listing_index (updated_at desc, slug);
create index listing_index_price_idx on listing_index (price_minor, slug);
create index listing_index_facets_idx on listing_index (shelf_id, grade_id, updated_at);  -- facets of the whole store, from the index alone
grant select on listing_index, listing_shelf, listing_grade to app_member, app_staff, app_system, app_publisher;
analyze listing_index;

-- As in 0410, with the two halves in place of the cell.
create or replace function index_listing() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
declare requirement int; shelf int; grade int; average smallint; names text[];
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
    select id into shelf from listing_shelf s where s.kind = new.kind and s.category = new.category and s.is_free = (new.price_minor = 0);
    exit when found;
    insert into listing_shelf (kind, category, is_free) values (new.kind, new.category, new.price_minor = 0)
      on conflict on constraint listing_shelf_key do nothing;
  end loop;
  loop
    select id into grade from listing_grade g where g.requirement_id = requirement and g.stars = average;
    exit when found;
    insert into listing_grade (requirement_id, stars) values (requirement, average) on conflict on constraint listing_grade_key do nothing;
  end loop;
  insert into listing_index (shelf_id, grade_id, updated_at, score, price_minor, listing_id, slug, terms) values (
      shelf, grade, new.updated_at, (1000 * new.rating_sum + 10500) / (new.rating_count + 3), new.price_minor, new.id, new.slug,
      array_to_tsvector(tsvector_to_array(new.search) || marked_terms('~', ts_filter(new.search, '{a}'))
        || marked_terms('^', ts_filter(new.search, '{a,b}')) || array(select '=' || left(n, 500) from unnest(names) n)))
    on conflict (listing_id) do update set (shelf_id, grade_id, updated_at, score, price_minor, slug, terms)
      = row (excluded.shelf_id, excluded.grade_id, excluded.updated_at, excluded.score, excluded.price_minor, excluded.slug, excluded.terms);
  insert into search_word select distinct m[1] from regexp_matches(names[2], '[a-z0-9]{3,40}', 'g') m on conflict do nothing;
  return null;
end $$;
