"""How versions come into the store and leave it: bundles, submissions, review, lifecycle."""
