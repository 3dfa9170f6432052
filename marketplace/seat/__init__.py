"""Seats of licences: who holds one, more of them, fewer of them."""
