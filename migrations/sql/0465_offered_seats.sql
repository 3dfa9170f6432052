-- An offer of what is licensed by the seat says how many; none says that it is for the whole member. Those sent before were for one seat.
alter table offer add column seats bigint;
update offer o set seats = 1 from listing l where l.id = o.listing_id and l.licensed_per = 'seat';
alter table offer add constraint offer_seats_check check (seats >= 1);
