"""Comparisons: the jobs of methods, seeds and shares, trained by several processes, and what is gathered of them."""
