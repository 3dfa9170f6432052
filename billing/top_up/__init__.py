"""Money on its way into a wallet: by card, by bank transfer, by itself; and the offers that reward it."""
