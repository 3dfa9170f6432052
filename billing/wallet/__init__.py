"""Prepaid wallets: charging and crediting them, money set aside in holds, credit limits."""
