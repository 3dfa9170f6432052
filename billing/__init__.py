"""Money: ledger, wallets, top-ups, subscription charges and renewals, finance console."""
