"""What staff does to money by hand: proposed by one, decided by another; adjustments and corrections."""
