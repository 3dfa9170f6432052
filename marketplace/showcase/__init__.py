"""The demo store: one folder a listing, with real artifacts. See `marketplace.bundles` for what a folder holds."""
