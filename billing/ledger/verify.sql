-- The checks of billing/ledger/verify.py, each one statement that returns rows of `subject, what, recorded, derived`: none, when the books hold.
-- `{effects}` stands for the statement under that name. Account codes are those of billing/ledger/accounts.py: 20 paid money, 21 bonus, 22 discount, 90 interbook.

-- check: effects
  select p.book_id, p.transaction_id, p.grant_id, p.source, p.target,
    case when p.target = 20 then p.amount_minor when p.source = 20 then -p.amount_minor else 0 end as paid,
    case when p.target = 21 then p.amount_minor when p.source = 21 then -p.amount_minor else 0 end as bonus
  from posting p where p.source in (20, 21) or p.target in (20, 21)

-- check: supplies
  select t.book_id, t.id, t.seq, t.currency, t.kind, t.reverses_id,
    case when t.kind = 'top_up' then x.received when x.consumed > 0 then x.consumed when t.reverses_id is not null then x.returned else 0 end as gross,
    case when t.kind = 'top_up' then 0 when x.consumed > 0 then x.consumed_tax else coalesce(
      (select sum(f.amount_minor) from refund_line f where f.member_id = t.book_id and f.refund_id = t.id and f.account = 27), x.returned_tax) end as tax,
    case when t.kind = 'top_up' then 'receipt' when x.consumed > 0 then 'invoice' else 'credit_note' end as document_kind
  from ledger_transaction t join (
    select p.book_id, p.transaction_id,
      coalesce(sum(p.amount_minor) filter (where p.source in (12, 20, 21) and p.target in (26, 27, 28, 40, 41, 42, 43)), 0) as consumed,
      coalesce(sum(p.amount_minor) filter (where p.source in (12, 20, 21) and p.target = 27), 0) as consumed_tax,
      coalesce(sum(p.amount_minor) filter (where p.source in (10, 11, 90) and p.target in (12, 20)), 0) as received,
      coalesce(sum(p.amount_minor) filter (where p.source in (14, 24, 26, 27, 28, 29, 40, 41, 42, 43, 90) and p.target in (12, 20, 21)), 0) as returned,
      coalesce(sum(p.amount_minor) filter (where p.source = 27 and p.target in (12, 20, 21)), 0) as returned_tax
    from posting p group by 1, 2
  ) x on x.book_id = t.book_id and x.transaction_id = t.id

-- check: posting without transaction
select format('book %s, transaction %s', p.book_id, p.transaction_id) as subject, 'transaction' as what, 'missing' as recorded, p.n || ' posting' as derived
from posting p left join ledger_transaction t on t.book_id = p.book_id and t.id = p.transaction_id where t.id is null

-- check: transaction without book
select format('book %s, transaction %s', t.book_id, t.id) as subject, 'book' as what, 'missing' as recorded, t.kind || ' transaction' as derived
from ledger_transaction t left join book b on b.id = t.book_id where b.id is null

-- check: never below zero
select format('book %s, wallet %s', member_id, currency) as subject, 'held' as what, held_minor::text as recorded,
  'at most ' || paid_minor + bonus_minor as derived
from wallet where held_minor > paid_minor + bonus_minor or least(paid_minor, bonus_minor, held_minor) < 0

-- check: wallet balance
with derived as (
  select e.book_id, t.currency, sum(e.paid) as paid, sum(e.bonus) as bonus
  from ({effects}) e join ledger_transaction t on t.book_id = e.book_id and t.id = e.transaction_id group by 1, 2)
select format('book %s, wallet %s', coalesce(w.member_id, d.book_id), coalesce(w.currency, d.currency)) as subject, v.what, v.recorded::text, v.derived::text
from wallet w full join derived d on d.book_id = w.member_id and d.currency = w.currency
cross join lateral (values
  ('paid', coalesce(w.paid_minor, 0), coalesce(d.paid, 0)), ('bonus', coalesce(w.bonus_minor, 0), coalesce(d.bonus, 0))
) v(what, recorded, derived)
where v.recorded <> v.derived

-- check: chain
with effect as (select book_id, transaction_id, sum(paid) as paid, sum(bonus) as bonus from ({effects}) e group by 1, 2),
chain as (
  select t.book_id, t.id, t.seq, t.kind, t.effective_at, t.amount_minor, t.paid_after_minor, t.bonus_after_minor, w.member_id is not null as has_wallet,
    coalesce(e.paid + e.bonus, 0) as effect, row_number() over line as place,
    sum(coalesce(e.paid, 0)) over line as paid, sum(coalesce(e.bonus, 0)) over line as bonus,
    max(t.effective_at) filter (where t.kind <> 'correction') over (line rows between unbounded preceding and 1 preceding) as last_at
  from ledger_transaction t left join effect e on e.book_id = t.book_id and e.transaction_id = t.id
  left join wallet w on w.member_id = t.book_id and w.currency = t.currency
  window line as (partition by t.book_id, t.currency order by t.seq))
select format('book %s, transaction %s (number %s)', book_id, id, seq) as subject, v.what, v.recorded, v.derived
from chain cross join lateral (values
  ('sequence number', seq::text, place::text, seq <> place),
  ('amount', amount_minor::text, effect::text, amount_minor <> effect),
  ('paid_after', paid_after_minor::text, paid::text, has_wallet and paid_after_minor is distinct from paid),
  ('bonus_after', bonus_after_minor::text, bonus::text, has_wallet and bonus_after_minor is distinct from bonus),
  ('effective_at', effective_at::text, 'not before ' || last_at, has_wallet and kind <> 'correction' and effective_at < last_at)
) v(what, recorded, derived, differs) where v.differs

-- check: position
with last as (select book_id, currency, max(seq) as seq, max(effective_at) as at from ledger_transaction group by 1, 2),
counted as (
  select member_id as book_id, currency, last_seq, last_effective_at from wallet
  union all select book_id, currency, last_seq, null from ledger_position)
select format('book %s, %s', coalesce(c.book_id, l.book_id), coalesce(c.currency, l.currency)) as subject, v.what, v.recorded, v.derived
from counted c full join last l on l.book_id = c.book_id and l.currency = c.currency
cross join lateral (values
  ('last sequence number', coalesce(c.last_seq, 0)::text, coalesce(l.seq, 0)::text, coalesce(c.last_seq, 0) <> coalesce(l.seq, 0)),
  ('last effective_at', c.last_effective_at::text, l.at::text, c.last_effective_at < l.at)
) v(what, recorded, derived, differs) where v.differs

-- check: grant
with derived as (
  select e.book_id, t.currency, e.grant_id, case when 20 in (e.source, e.target) then 'paid' else 'bonus' end as kind, sum(e.paid + e.bonus) as remaining
  from ({effects}) e join ledger_transaction t on t.book_id = e.book_id and t.id = e.transaction_id group by 1, 2, 3, 4),
first as (  -- all that its first transaction put in: a refund gives back from several accounts to one grant
  select distinct on (e.book_id, e.grant_id) e.book_id, e.grant_id, sum(e.paid + e.bonus) as granted
  from ({effects}) e join ledger_transaction t on t.book_id = e.book_id and t.id = e.transaction_id
  where e.target in (20, 21) group by e.book_id, e.grant_id, t.seq order by e.book_id, e.grant_id, t.seq)
select format('book %s, %s %s grant %s', coalesce(g.member_id, d.book_id), coalesce(g.currency, d.currency), coalesce(g.kind, d.kind),
    coalesce(g.id, d.grant_id)) as subject, v.what, v.recorded, v.derived
from wallet_grant g full join derived d on d.book_id = g.member_id and d.grant_id = g.id and d.kind = g.kind and d.currency = g.currency
left join first f on f.book_id = g.member_id and f.grant_id = g.id
cross join lateral (values
  ('remaining', coalesce(g.remaining_minor, 0)::text, coalesce(d.remaining, 0)::text, coalesce(g.remaining_minor, 0) <> coalesce(d.remaining, 0)),
  ('granted', g.granted_minor::text, coalesce(f.granted, 0)::text, g.granted_minor <> coalesce(f.granted, 0)),
  ('open', g.is_open::text, (g.remaining_minor > 0)::text, g.is_open <> (g.remaining_minor > 0)),
  ('existence', 'missing', d.remaining::text, g.id is null)
) v(what, recorded, derived, differs) where v.differs

-- check: wallet against grants
with derived as (
  select member_id, currency, sum(remaining_minor) filter (where kind = 'paid') as paid, sum(remaining_minor) filter (where kind = 'bonus') as bonus,
    sum(held_minor) as held, min(expires_at) filter (where remaining_minor > held_minor) as expiry from wallet_grant where is_open group by 1, 2)
select format('book %s, wallet %s', coalesce(w.member_id, d.member_id), coalesce(w.currency, d.currency)) as subject, v.what, v.recorded, v.derived
from wallet w full join derived d on d.member_id = w.member_id and d.currency = w.currency
cross join lateral (values
  ('paid of open grants', w.paid_minor::text, coalesce(d.paid, 0)::text, coalesce(w.paid_minor, 0) <> coalesce(d.paid, 0)),
  ('bonus of open grants', w.bonus_minor::text, coalesce(d.bonus, 0)::text, coalesce(w.bonus_minor, 0) <> coalesce(d.bonus, 0)),
  ('held', w.held_minor::text, coalesce(d.held, 0)::text, coalesce(w.held_minor, 0) <> coalesce(d.held, 0)),
  ('next_expiry_at', coalesce(w.next_expiry_at::text, 'none'), 'not after ' || d.expiry, d.expiry < coalesce(w.next_expiry_at, 'infinity'))
) v(what, recorded, derived, differs) where v.differs

-- check: hold
with drawn as (select member_id, hold_id, sum(remaining_minor) as remaining from hold_draw group by 1, 2)
select format('book %s, hold %s', h.member_id, h.id) as subject, 'remaining' as what, (h.amount_minor - h.captured_minor - h.released_minor)::text as recorded,
  coalesce(d.remaining, 0)::text as derived
from hold h left join drawn d on d.member_id = h.member_id and d.hold_id = h.id
where h.amount_minor - h.captured_minor - h.released_minor <> coalesce(d.remaining, 0)

-- check: held
with drawn as (select member_id, grant_id, sum(remaining_minor) as remaining from hold_draw group by 1, 2)
select format('book %s, grant %s', g.member_id, g.id) as subject, 'held' as what, g.held_minor::text as recorded, coalesce(d.remaining, 0)::text as derived
from wallet_grant g left join drawn d on d.member_id = g.member_id and d.grant_id = g.id where g.held_minor <> coalesce(d.remaining, 0)

-- check: receivable
with owed as (
  select p.book_id, t.currency, sum(case when p.source = 12 then p.amount_minor else -p.amount_minor end) as amount
  from posting p join ledger_transaction t on t.book_id = p.book_id and t.id = p.transaction_id where 12 in (p.source, p.target) group by 1, 2)
select format('book %s, wallet %s', w.member_id, w.currency) as subject, 'receivable' as what, w.receivable_minor::text as recorded,
  coalesce(o.amount, 0)::text as derived
from wallet w left join owed o on o.book_id = w.member_id and o.currency = w.currency where w.receivable_minor <> coalesce(o.amount, 0)

-- check: lot
with moved as (  -- what a move does to its lot follows from the account on its other side: see adjust_wallet
  select g.member_id, g.lot_id, case when m.other = 22 then case when m.lapses then 'expired' else 'discount' end
      when m.other in (10, 11, 23, 25, 90) and not m.undoes then 'face' else 'spent' end as what, sum(m.amount) as amount
  from (
    select e.book_id, e.grant_id, e.paid + e.bonus as amount, case when e.target in (20, 21) then e.source else e.target end as other,
      'expiry' in (t.kind, case when t.kind = 'correction' then o.kind end) as lapses,
      exists (select from refund_line f where f.member_id = t.book_id and f.refund_id = t.id) as undoes
    from ({effects}) e join ledger_transaction t on t.book_id = e.book_id and t.id = e.transaction_id
    left join ledger_transaction o on o.book_id = t.book_id and o.id = t.reverses_id) m
  join wallet_grant g on g.member_id = m.book_id and g.id = m.grant_id where g.lot_id is not null group by 1, 2, 3),
derived as (
  select member_id, lot_id, sum(amount) filter (where what in ('face', 'discount')) as face, sum(amount) filter (where what = 'discount') as discount,
    -sum(amount) filter (where what = 'spent') as spent, -sum(amount) filter (where what = 'expired') as expired from moved group by 1, 2)
select format('book %s, lot %s', l.member_id, l.id) as subject, v.what, v.recorded::text, v.derived::text
from lot l left join derived d on d.member_id = l.member_id and d.lot_id = l.id
cross join lateral (values
  ('face', l.face_minor, coalesce(d.face, 0)), ('discount', l.discount_minor, coalesce(d.discount, 0)),
  ('spent', l.spent_minor, coalesce(d.spent, 0)), ('expired', l.expired_minor, coalesce(d.expired, 0))
) v(what, recorded, derived) where v.recorded <> v.derived

-- check: bonus discount
with posted as (
  select p.book_id, t.currency, sum(case when p.target = 22 then p.amount_minor else -p.amount_minor end) as amount
  from posting p join ledger_transaction t on t.book_id = p.book_id and t.id = p.transaction_id where p.source = 22 or p.target = 22 group by 1, 2),
lots as (  -- what was given away and not yet earned or expired; a lot that is used up has nothing left
  select member_id, currency, sum(case when spent_minor + expired_minor < face_minor then earned_minor + expired_minor - discount_minor else 0 end) as amount
  from lot group by 1, 2)
select format('book %s, %s', coalesce(p.book_id, l.member_id), coalesce(p.currency, l.currency)) as subject, 'earned back of the lots' as what,
  coalesce(l.amount, 0)::text as recorded, coalesce(p.amount, 0)::text as derived
from posted p full join lots l on l.member_id = p.book_id and l.currency = p.currency where coalesce(l.amount, 0) <> coalesce(p.amount, 0)

-- check: between books
select format('all books, %s', t.currency) as subject, 'interbook' as what,
  sum(case when p.target = 90 then p.amount_minor else -p.amount_minor end)::text as recorded, '0' as derived
from posting p join ledger_transaction t on t.book_id = p.book_id and t.id = p.transaction_id where p.source = 90 or p.target = 90
group by t.currency having sum(case when p.target = 90 then p.amount_minor else -p.amount_minor end) <> 0

-- check: top-up
with posted as (
  select t.book_id, t.id, t.currency, coalesce(sum(e.paid), 0) + coalesce((select sum(p.amount_minor) from posting p
      where p.book_id = t.book_id and p.transaction_id = t.id and p.target = 12), 0) as paid, coalesce(sum(e.bonus), 0) as bonus
  from ledger_transaction t left join ({effects}) e on e.book_id = t.book_id and e.transaction_id = t.id where t.kind = 'top_up' group by 1, 2, 3),
settled as (select *, coalesce(received_minor, amount_minor) as paid from top_up where state = 'settled')
select format('book %s, top-up %s', coalesce(s.member_id, p.book_id), coalesce(s.id, p.id)) as subject, v.what, v.recorded, v.derived
from settled s full join posted p on p.book_id = s.member_id and p.id = s.id and p.currency = s.currency
cross join lateral (values
  ('paid', coalesce(s.paid::text, 'no settled top-up'), coalesce(p.paid::text, 'no transaction'), s.paid is distinct from p.paid),
  ('bonus', s.bonus_minor::text, p.bonus::text, s.bonus_minor <> p.bonus and s.paid = s.amount_minor)
) v(what, recorded, derived, differs) where v.differs

-- check: order
select format('book %s, order %s', o.member_id, o.id) as subject, 'total' as what, o.total_minor::text as recorded,
  coalesce((-t.amount_minor)::text, 'no transaction') as derived
from store_order o left join ledger_transaction t on t.book_id = o.member_id and t.id = o.id and t.kind = 'purchase' and t.currency = o.currency
where o.total_minor > 0 and (t.id is null or o.total_minor <> o.paid_minor + o.bonus_minor + o.credit_minor
  or o.total_minor <> o.credit_minor - t.amount_minor or o.credit_minor > 0 and o.credit_minor <> coalesce((
    select sum(p.amount_minor) from posting p where p.book_id = t.book_id and p.transaction_id = t.id and p.source = 12), 0))

-- check: order of a listing
select format('book %s, order %s', o.member_id, o.id) as subject, 'listing' as what, o.listing_id::text as recorded, 'no listing' as derived
from store_order o where not exists (select from listing l where l.id = o.listing_id)

-- check: licence
select format('book %s, licence %s', l.member_id, l.id) as subject, 'listing' as what, l.listing_id::text as recorded, coalesce(o.listing_id::text, 'no order') as derived
from license l left join store_order o on o.member_id = l.member_id and o.id = l.id where l.listing_id is distinct from o.listing_id

-- check: seats of a licence
with held as (select member_id, license_id, count(*) as n from license_seat where released_at is null group by 1, 2)
select format('book %s, licence %s', h.member_id, h.license_id) as subject, 'seats held' as what, h.n::text as recorded,
  'at most ' || coalesce(l.seats, 0) as derived
from held h left join license l on l.member_id = h.member_id and l.id = h.license_id where h.n > coalesce(l.seats, 0)

-- check: subscription charge
select format('book %s, subscription charge %s', c.member_id, c.id) as subject, 'amount' as what, c.amount_minor::text as recorded,
  coalesce((-t.amount_minor)::text, 'no transaction') as derived
from subscription_charge c left join ledger_transaction t on t.book_id = c.member_id and t.id = c.id and t.kind = 'subscription' and t.currency = c.currency
where c.state = 'paid' and c.amount_minor > 0 and (t.id is null or c.amount_minor <> -t.amount_minor and c.amount_minor + t.amount_minor <> coalesce((
  select sum(p.amount_minor) from posting p where p.book_id = t.book_id and p.transaction_id = t.id and p.source = 12), 0))  -- on credit

-- check: refund
with charged as (
  select p.book_id, p.transaction_id, p.target as account, p.grant_id, sum(p.amount_minor) as amount from posting p
  where p.source in (12, 20, 21) and exists (select from refund_line f where f.member_id = p.book_id and f.original_id = p.transaction_id) group by 1, 2, 3, 4),
given as (select member_id, original_id, account, grant_id, sum(amount_minor) as amount from refund_line group by 1, 2, 3, 4)
select format('book %s, charge %s, account %s', g.member_id, g.original_id, g.account) as subject, 'given back' as what, g.amount::text as recorded,
  'from 0 to ' || coalesce(c.amount, 0) as derived
from given g left join charged c on c.book_id = g.member_id and c.transaction_id = g.original_id and c.account = g.account and c.grant_id is not distinct from g.grant_id
where g.amount not between 0 and coalesce(c.amount, 0)

-- check: refund line
with posted as (
  select p.book_id, p.transaction_id, sum(case when p.target in (12, 20, 21) then p.amount_minor else -p.amount_minor end) as amount
  from posting p where (p.source in (12, 20, 21) or p.target in (12, 20, 21)) and exists (select from refund_line f where f.member_id = p.book_id and f.refund_id = p.transaction_id) group by 1, 2),
lines as (select member_id, refund_id, sum(amount_minor) as amount from refund_line group by 1, 2)
select format('book %s, refund %s', l.member_id, l.refund_id) as subject, 'lines' as what, l.amount::text as recorded, coalesce(p.amount, 0)::text as derived
from lines l left join posted p on p.book_id = l.member_id and p.transaction_id = l.refund_id where l.amount is distinct from p.amount

-- check: document numbers
select format('entity %s, %s of %s', coalesce(c.entity_id, d.entity_id), coalesce(c.kind, d.kind), coalesce(c.year, d.year)) as subject, v.what, v.recorded, v.derived
from document_counter c full join (
  select entity_id, kind, year, count(*) as documents, min(n) as first, max(n) as last from document group by 1, 2, 3
) d on d.entity_id = c.entity_id and d.kind = c.kind and d.year = c.year
cross join lateral (values
  ('last number', coalesce(c.last_n, 0)::text, coalesce(d.last, 0)::text, coalesce(c.last_n, 0) <> coalesce(d.last, 0)),
  ('numbers without gaps', coalesce(d.last, 0) || ' numbers', coalesce(d.documents, 0) || ' documents', d.last <> d.documents or d.first <> 1)
) v(what, recorded, derived, differs) where v.differs

-- check: document
with lines as (
  select member_id, document_id, sum(net_minor) as net, sum(tax_minor) as tax, sum(gross_minor) as gross, count(*) as n from document_line group by 1, 2)
select format('member %s, document %s', d.member_id, d.number) as subject, v.what, v.recorded, v.derived
from document d left join lines l on l.member_id = d.member_id and l.document_id = d.id
cross join lateral (values
  ('content hash', encode(d.content_hash, 'hex'), encode(sha256(convert_to(d.content::text, 'UTF8')), 'hex')),
  ('net', d.net_minor::text, l.net::text), ('tax', d.tax_minor::text, l.tax::text), ('gross', d.gross_minor::text, l.gross::text),
  ('lines', jsonb_array_length(d.content -> 'lines')::text, l.n::text), ('number', d.number, d.content ->> 'number'), ('kind', d.kind, d.content ->> 'kind'),
  ('gross in content', d.content ->> 'gross_minor', d.gross_minor::text), ('buyer', d.buyer, d.content #>> '{buyer,title}')
) v(what, recorded, derived) where v.recorded is distinct from v.derived

-- check: document against ledger
with lines as (
  select l.member_id, l.transaction_id, min(d.kind) as kind, sum(l.gross_minor) as gross, sum(l.tax_minor) as tax
  from document_line l join document d on d.member_id = l.member_id and d.id = l.document_id group by 1, 2),
due as (  -- what was looked at and needs a document: a refund does where its charge stands on one
  select s.* from ({supplies}) s join document_position p on p.member_id = s.book_id and p.currency = s.currency and s.seq <= p.last_seq
  where s.gross > 0 and not exists (select from document_waiting w where w.member_id = s.book_id and w.transaction_id = s.id)
    and (s.document_kind <> 'credit_note' or exists (select from document_line l join document d on d.member_id = l.member_id and d.id = l.document_id
      where l.member_id = s.book_id and l.transaction_id = s.reverses_id and d.kind = 'invoice')))
select format('book %s, transaction %s', coalesce(s.book_id, l.member_id), coalesce(s.id, l.transaction_id)) as subject, v.what, v.recorded, v.derived
from due s full join lines l on l.member_id = s.book_id and l.transaction_id = s.id
cross join lateral (values
  ('document', coalesce(l.kind, 'none'), coalesce(s.document_kind, 'none')),
  ('gross', coalesce(l.gross, 0)::text, coalesce(s.gross, 0)::text), ('tax', coalesce(l.tax, 0)::text, coalesce(s.tax, 0)::text)
) v(what, recorded, derived) where v.recorded <> v.derived

-- check: subscription of charges and motions
select format('book %s, %s %s', r.member_id, r.kind, r.id) as subject, 'subscription' as what, r.subscription_id::text as recorded, 'missing' as derived
from (select member_id, id, subscription_id, 'charge' as kind from subscription_charge
  union all select member_id, id, subscription_id, 'motion' from subscription_motion) r
left join subscription s on s.member_id = r.member_id and s.id = r.subscription_id where s.id is null

-- check: renewal run
with paid as (select run_id, currency, count(*) as n, sum(amount_minor) as amount from subscription_charge where run_id is not null and state = 'paid' group by 1, 2)
select format('run %s, %s', coalesce(p.run_id, t.run_id), coalesce(p.currency, t.currency)) as subject, v.what, v.recorded::text, v.derived::text
from paid p full join (select * from renewal_run_total where outcome = 'renewed') t on t.run_id = p.run_id and t.currency = p.currency
cross join lateral (values ('renewed', coalesce(t.count, 0), coalesce(p.n, 0)), ('amount', coalesce(t.amount_minor, 0), coalesce(p.amount, 0))) v(what, recorded, derived)
where v.recorded <> v.derived

-- check: deferral
with posted as (
  select p.book_id, p.transaction_id, sum(case when p.target = 26 then p.amount_minor else -p.amount_minor end) as amount
  from posting p where p.source = 26 or p.target = 26 group by 1, 2)
select format('book %s, deferral %s', d.member_id, d.id) as subject, v.what, v.recorded, v.derived
from deferral d left join posted p on p.book_id = d.member_id and p.transaction_id = d.id
cross join lateral (values
  ('deferred', d.deferred_minor::text, coalesce(p.amount, 0)::text, d.deferred_minor <> coalesce(p.amount, 0)),
  ('recognised', d.recognised_minor::text, 'between 0 and ' || d.deferred_minor,
    d.recognised_minor not between least(0, d.deferred_minor) and greatest(0, d.deferred_minor) or (not d.is_open and d.recognised_minor <> d.deferred_minor))
) v(what, recorded, derived, differs) where v.differs

-- check: recognised revenue
with scheduled as (select entity_id, currency, sum(recognised_minor) as amount from deferral group by 1, 2),
days as (select entity_id, currency, sum(amount_minor) as amount from recognition_day group by 1, 2),
posted as (
  select b.entity_id, t.currency, sum(case when p.source = 26 then p.amount_minor else -p.amount_minor end) as amount
  from ledger_transaction t join book b on b.id = t.book_id join posting p on p.book_id = t.book_id and p.transaction_id = t.id
  where t.kind = 'recognition' and b.kind = 'house' group by 1, 2)
select format('entity %s, %s', entity_id, currency) as subject, v.what, v.recorded::text, coalesce(p.amount, 0)::text as derived
from scheduled s full join days d using (entity_id, currency) full join posted p using (entity_id, currency)
cross join lateral (values ('recognised of the deferrals', coalesce(s.amount, 0)), ('recognised of the days', coalesce(d.amount, 0))) v(what, recorded)
where v.recorded <> coalesce(p.amount, 0)

-- check: order refund
with given as (select member_id, order_id, sum(amount_minor) as amount from order_refund where undone_at is null group by 1, 2),
posted as (select member_id, original_id, sum(amount_minor) as amount from refund_line group by 1, 2)
select format('book %s, order %s', o.member_id, o.id) as subject, v.what, v.recorded::text, v.derived::text
from store_order o left join given g on g.member_id = o.member_id and g.order_id = o.id left join posted p on p.member_id = o.member_id and p.original_id = o.id
cross join lateral (values
  ('refunded', o.refunded_minor, coalesce(g.amount, 0)), ('given back', o.refunded_minor, coalesce(p.amount, 0))
) v(what, recorded, derived) where v.recorded <> v.derived

-- check: money on its way
with accounts as (
  select p.book_id, t.currency, v.account, sum(case when p.target = v.account then p.amount_minor else -p.amount_minor end) as amount
  from (values (23), (25), (13)) v(account) join posting p on v.account in (p.source, p.target)
  join ledger_transaction t on t.book_id = p.book_id and t.id = p.transaction_id group by 1, 2, 3),
rows as (
  select member_id, currency, 23 as account, sum(amount_minor) as amount from card_refund where state = 'pending' group by 1, 2
  union all select member_id, currency, 25, sum(reserved_minor) from dispute where state = 'open' group by 1, 2
  union all select member_id, currency, 13, -sum(amount_minor) from dispute where state = 'open' group by 1, 2)
select format('book %s, %s', coalesce(r.member_id, a.book_id), coalesce(r.currency, a.currency)) as subject,
  case coalesce(r.account, a.account) when 23 then 'refunds on their way' when 25 then 'reserve of disputes' else 'disputed payments' end as what,
  coalesce(r.amount, 0)::text as recorded, coalesce(a.amount, 0)::text as derived
from rows r full join accounts a on a.book_id = r.member_id and a.currency = r.currency and a.account = r.account
where coalesce(r.amount, 0) <> coalesce(a.amount, 0) order by 2 desc

-- check: frozen
select format('book %s, wallet %s', w.member_id, w.currency) as subject, 'state' as what, w.state as recorded, 'frozen' as derived
from wallet w where w.state <> 'frozen' and exists (select from dispute d where d.member_id = w.member_id and d.currency = w.currency and d.state = 'open')

-- check: service milestone
select format('book %s, service %s, milestone %s', m.member_id, m.order_id, m.position) as subject, 'paid' as what, m.captured_minor::text as recorded,
  coalesce(o.total_minor::text, 'no order') as derived
from service_milestone m left join store_order o on o.member_id = m.member_id and o.id = m.charge_id
where m.captured_minor <> coalesce(o.total_minor, 0)

-- check: service hold
with rows as (
  select o.member_id, o.id, sum(m.captured_minor) as captured, coalesce(sum(m.amount_minor) filter (where m.state in ('open', 'delivered', 'disputed')), 0) as waiting
  from service_order o join service_milestone m on m.member_id = o.member_id and m.order_id = o.id group by 1, 2)
select format('book %s, service %s', r.member_id, r.id) as subject, v.what, v.recorded::text, coalesce(v.derived::text, 'no hold') as derived
from rows r left join hold h on h.member_id = r.member_id and h.id = r.id
cross join lateral (values
  ('captured', r.captured, h.captured_minor),
  ('held', r.waiting, case when h.state = 'expired' then r.waiting else h.amount_minor - h.captured_minor - h.released_minor end)
) v(what, recorded, derived) where v.recorded is distinct from v.derived

-- check: partner share
with moved as (
  select p.book_id, p.transaction_id, sum(p.amount_minor) as amount from posting p where p.source = 28 and p.target = 90 group by 1, 2),
arrived as (
  select p.book_id, p.transaction_id, sum(p.amount_minor) as amount from posting p where p.source = 90 and p.target = 29 group by 1, 2)
select format('book %s, order %s', r.member_id, r.order_id) as subject, v.what, r.share_minor::text as recorded, coalesce(v.derived, 0)::text as derived
from partner_release r left join moved m on m.book_id = r.member_id and m.transaction_id = r.entry_id
left join arrived a on a.book_id = r.publisher_id and a.transaction_id = r.entry_id
cross join lateral (values ('left the member', m.amount), ('reached the partner', a.amount)) v(what, derived)
where r.share_minor <> coalesce(v.derived, 0)

-- check: payout
select format('payout %s', p.id) as subject, v.what, v.recorded::text, v.derived::text
from payout p cross join lateral (
  select coalesce(sum(case when x.target in (14, 29) then x.amount_minor else 0 end - case when x.source in (14, 29) then x.amount_minor else 0 end)
      filter (where t.seq <= p.until_seq), 0) as owed,
    coalesce(sum(x.amount_minor) filter (where t.id = p.id and x.source = 29), 0) as paid
  from ledger_transaction t join posting x on x.book_id = t.book_id and x.transaction_id = t.id
  where t.book_id = p.publisher_id and t.currency = p.currency) d
cross join lateral (values ('owed', p.closing_minor, d.owed), ('paid', case when p.state = 'paid' then p.amount_minor else 0 end, d.paid)) v(what, recorded, derived)
where v.recorded <> v.derived
