"""Buying: prices, coupons, bundles, orders and their refunds."""
