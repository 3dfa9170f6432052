-- A trial that is past due has not been paid for: it has no yearly value, which its state alone did not tell.
alter table subscription add column trial_until timestamptz;
update subscription s set trial_until = s.term_end
where s.state = 'trialing' or s.state = 'past_due' and s.term = 1 and not exists (
  select from subscription_charge c where c.member_id = s.member_id and c.subscription_id = s.id and c.state = 'paid');
