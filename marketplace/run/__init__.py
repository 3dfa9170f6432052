"""Running what was bought on the member's own input."""
