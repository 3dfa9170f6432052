"""The renewal run, what members are told ahead of it, and dunning after it."""
