"""Revenue: deferred, earned day by day, and shared with partners."""
