"""Taking on a customer: the member with its book, its wallet and its owner."""
