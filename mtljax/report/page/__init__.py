"""Pages of comparisons and of runs, in HTML."""
