-- A refund asks for the wallet's next expiry as everybody does: a hold that ends counts, too. The rest of the function stays as it is.
do $$
declare body text := pg_get_functiondef('refund_charge(refund_request)'::regprocedure);
  old text := '(select min(g.expires_at) from wallet_grant g where g.member_id = r.book_id and g.currency = original.currency and g.is_open)';
begin
  assert position(old in body) > 0, 'refund_charge is not the one of 0210';
  execute replace(body, old, 'next_expiry(r.book_id, original.currency)');
end $$;
