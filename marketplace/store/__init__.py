"""What visitors see: listings, search, contents and reviews."""
