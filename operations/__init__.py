"""Member operations: behaviour, offers, revenue, the CSM console, the demo world."""
