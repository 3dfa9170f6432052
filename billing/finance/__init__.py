"""The finance console: prepaid balances, the journal, statements and exports."""
