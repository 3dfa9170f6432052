"""Members' own copies of what they installed: edited on our pages, checked as the store checks, kept through updates."""
