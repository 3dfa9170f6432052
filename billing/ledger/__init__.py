"""The ledger: its accounts, reading it as of any instant, and the proof that it holds."""
