-- One row at most: the clock that a demo may move. Read by everybody, moved by operators and the system.
grant select on product_clock to app_member, app_staff, app_system, app_publisher;
grant insert, update on product_clock to app_staff, app_system;
