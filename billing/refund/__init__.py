"""Money that goes back: to the grants that paid, to a card or bank account, to a cardholder who disputes."""
