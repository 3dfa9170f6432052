-- Who may do what. The app logs in as a role that owns nothing and has no rights until a transaction takes one of the app_* roles.
do $$
declare r text;
begin
  foreach r in array array['app_member', 'app_staff', 'app_system', 'app_publisher', 'ledger', 'backoffice_app'] loop
    begin
      execute format('create role %I nologin noinherit', r);
    exception when duplicate_object or unique_violation then null;  -- roles belong to the server: another database may have made them
    end;
  end loop;
  execute 'grant app_member, app_staff, app_system, app_publisher to backoffice_app';
  if not (select rolsuper from pg_roles where rolname = current_user) then
    execute format('grant app_member, app_staff, app_system, app_publisher, ledger to %I', current_user);
  end if;
end $$;

create function acting_member() returns uuid language sql stable parallel safe as
$$ select nullif(current_setting('app.member_id', true), '')::uuid $$;

revoke all on schema public from public;
grant usage on schema public to app_member, app_staff, app_system, app_publisher, ledger;
grant create on schema public to ledger;

-- The ledger's own tables: read by all, written by functions of the ledger role alone.
do $$
declare t text;
begin
  foreach t in array array['book', 'account_kind', 'ledger_transaction', 'posting', 'wallet', 'lot', 'wallet_grant', 'ledger_position'] loop
    execute format('alter table %I owner to ledger', t);
    execute format('grant select on %I to app_member, app_staff, app_system', t);
  end loop;
end $$;
revoke create on schema public from ledger;

-- Tables that a member owns, with the column that says whose a row is.
do $$
declare t record;
begin
  for t in
    select * from (values
      ('member', 'id', 'select, update'),
      ('app_user', 'member_id', 'select, insert, update'), ('api_key', 'member_id', 'select, insert, update'),
      ('subscription', 'member_id', 'select, insert, update'), ('subscription_motion', 'member_id', 'select, insert'),
      ('notice', 'member_id', 'select, insert, update'),
      ('book', 'id', null), ('ledger_transaction', 'book_id', null), ('posting', 'book_id', null), ('wallet', 'member_id', null),
      ('lot', 'member_id', null), ('wallet_grant', 'member_id', null),
      ('top_up', 'member_id', 'select, insert, update'), ('stripe_customer', 'member_id', 'select, insert'),
      ('payment_method', 'member_id', 'select, insert, update'), ('subscription_charge', 'member_id', 'select, insert, update'),
      ('store_order', 'member_id', 'select, insert'), ('license', 'member_id', 'select, insert, update'),
      ('download', 'member_id', 'select, insert'), ('review', 'member_id', 'select, insert, update'),
      ('event', 'member_id', 'select, insert'), ('usage_daily', 'member_id', 'select'), ('usage_stale', 'member_id', 'select, insert'),
      ('offer', 'member_id', 'select, update'), ('outbox', 'member_id', 'insert')
    ) v(name, key, rights)
  loop
    execute format('alter table %I enable row level security', t.name);
    execute format('alter table %I force row level security', t.name);
    execute format('create policy own_rows on %I to app_member using (%I = acting_member()) with check (%I = acting_member())', t.name, t.key, t.key);
    execute format('create policy all_rows on %I to app_staff, app_system, ledger, current_user using (true) with check (true)', t.name);
    if t.rights is not null then
      execute format('grant %s on %I to app_member', t.rights, t.name);
      execute format('grant select, insert, update on %I to app_staff, app_system', t.name);
    end if;
  end loop;
end $$;
grant delete on usage_daily, usage_stale to app_system;

-- Everybody may read what buyers say; writing stays with the member.
create policy read_all on review for select to app_member using (true);

-- Global tables: no member owns them.
grant select on legal_entity, product_line, edition, edition_price, top_up_offer, publisher, listing, listing_version, artifact
  to app_member, app_staff, app_system, app_publisher;
grant insert, update on legal_entity, product_line, edition, edition_price, top_up_offer, publisher, listing, listing_version, artifact
  to app_staff, app_system;
grant insert, update on listing, listing_version, artifact to app_publisher;
grant select, insert, update on user_session, stripe_event to app_system;
grant select, update on user_session to app_staff;
grant select on stripe_event to app_staff;
grant select, insert on audit_entry to app_staff, app_system;  -- never changed, never deleted
grant insert on audit_entry to app_member, app_publisher;
grant select on alembic_version to app_system;

-- A publisher sees the sales of its own listings, and nothing else of the buyers.
do $$
declare t text;
begin
  foreach t in array array['store_order', 'license', 'download', 'review'] loop
    execute format('grant select on %I to app_publisher', t);
    execute format('create policy own_listings on %I for select to app_publisher using (listing_id in '
      '(select id from listing where publisher_id = nullif(current_setting(''app.publisher_id'', true), '''')::uuid))', t);
  end loop;
end $$;
grant update (answer) on review to app_publisher;
create policy answer_own on review for update to app_publisher using (listing_id in
  (select id from listing where publisher_id = nullif(current_setting('app.publisher_id', true), '')::uuid));
