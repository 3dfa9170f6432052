"""Service partners and their money: what they are due, payouts, and buyers' claims."""
