"""Stripe: its gateway, its signed events, and saved cards."""
