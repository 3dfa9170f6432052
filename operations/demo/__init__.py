"""The demo world: a vendor, its members and a year of history that hangs together, the same for the same seed."""
