"""The demo store: one folder a listing, with real artifacts. See `marketplace.release.bundles` for what a folder holds."""
