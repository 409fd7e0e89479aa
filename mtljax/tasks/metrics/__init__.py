"""Figures: what is counted of a batch, and what becomes of the counts of a whole set."""
