"""Figures of objects, from rows gathered over a whole split: NumPy and SciPy, in float64."""
