-- What the store's search reads (decision 0045): one row for each listing on sale. A trigger keeps it, so whoever changes a listing cannot forget to.

-- What a listing asks of its buyer; few, so that a search judges each once for the member that asks.
create table listing_requirement (
  id int generated always as identity primary key,
  product_line text, required_rank int not null, required_features text[] not null,
  constraint listing_requirement_key unique nulls not distinct (product_line, required_rank, required_features)
);

-- What facets count by. Listings are counted by cell, cells by facet: a few thousand instead of tens of thousands.
create table listing_cell (
  id int generated always as identity primary key,
  kind text collate "C" not null, category text collate "C" not null, is_free boolean not null,
  requirement_id int not null references listing_requirement (id),
  stars smallint not null,  -- average rating, rounded down; 0 where nobody has voted
  constraint listing_cell_key unique (kind, category, is_free, requirement_id, stars)
);

create table listing_index (
  listing_id uuid primary key references listing (id),
  cell_id int not null references listing_cell (id),
  score int not null,  -- Bayesian average of stars in thousandths: drawn towards 3.5 as long as few have voted
  price_minor bigint not null,
  updated_at timestamptz not null,
  slug text collate "C" not null,
  terms tsvector not null  -- all terms; those of the name again behind '~', of name and summary behind '^', whole names behind '='
);
create index listing_index_terms_idx on listing_index using gin (terms) with (fastupdate = off);
create index listing_index_score_idx on listing_index (score desc, slug);
create index listing_index_updated_idx on listing_index (updated_at desc, slug);
create index listing_index_price_idx on listing_index (price_minor, slug);
create index listing_index_cell_idx on listing_index (cell_id, updated_at);  -- facets of the whole store, from the index alone

-- English words of names: what a typo is corrected to.
create table search_word (word text collate "C" primary key);

create function marked_terms(mark text, terms tsvector) returns text[] language sql immutable as
$$ select coalesce(array_agg(mark || t), '{}') from unnest(tsvector_to_array(terms)) t $$;

create function index_listing() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
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
      where q.product_line is not distinct from new.product_line and q.required_rank = new.required_rank and q.required_features = new.required_features;
    exit when found;
    insert into listing_requirement (product_line, required_rank, required_features) values (new.product_line, new.required_rank, new.required_features)
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
revoke execute on function index_listing, marked_terms from public;
create trigger listing_is_indexed after insert or update on listing for each row execute function index_listing();

update listing set search = search where state = 'published';  -- backfill, through the trigger
drop index listing_search_idx;
grant select on listing_index, listing_cell, listing_requirement, search_word to app_member, app_staff, app_system, app_publisher;
