"""A publisher's side: its listings, drafts, figures, and handing in by command or API."""
