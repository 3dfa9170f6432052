"""Receipts, tax invoices and credit notes: made of what the ledger says, as pages and PDF."""
