"""The store: listings, artifacts, orders, licences, reviews, publishers."""
