"""The kernel: settings, database, money, ids, errors, actors, audit, jobs. It knows no business rule."""
