"""Subscriptions and their money: starting, changing, ending, contracts, and the prices of editions."""
