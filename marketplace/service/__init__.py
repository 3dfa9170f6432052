"""Services of partners: offered, ordered, delivered milestone by milestone."""
