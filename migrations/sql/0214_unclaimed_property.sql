-- Where paid money goes that lapses: to breakage, or, where the law says so, to unclaimed property that is owed to somebody still (books, move 7).
alter table legal_entity add column paid_lapses_to text not null default 'breakage_revenue';
alter table legal_entity add constraint legal_entity_paid_lapses_to_check check (paid_lapses_to in ('breakage_revenue', 'unclaimed_property'));
grant select on legal_entity to ledger;

create function lapses_to(book_id uuid) returns smallint language sql stable as $$
  select case e.paid_lapses_to when 'unclaimed_property' then 30 else 44 end::smallint from book b join legal_entity e on e.id = b.entity_id where b.id = book_id
$$;

-- What is owed is no revenue, so it earns no discount back. The rest of the function stays as it is.
do $$
declare body text := pg_get_functiondef('expire_wallet(uuid, text, timestamptz)'::regprocedure);
  goes text := 'case when g.kind = ''paid'' then 44 when'; earns text := 'if g.kind = ''paid'' then';
begin
  assert position(goes in body) > 0 and position(earns in body) > 0, 'expire_wallet has changed: say anew where paid money goes';
  execute replace(replace(body, goes, 'case when g.kind = ''paid'' then lapses_to(m) when'), earns, 'if g.kind = ''paid'' and lapses_to(m) = 44 then');
end $$;
