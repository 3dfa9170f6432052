-- Two more foreign keys that every purchase paid for. An order names the listing whose revision its own statement has just read, and listings are never
-- deleted; checking it again locked the listing's row, the same one for every buyer. A licence is written by the statement that writes its order.
-- `flask ledger verify` looks for strays of both.
alter table store_order drop constraint store_order_listing_id_fkey;
alter table license drop constraint license_member_id_id_fkey;
