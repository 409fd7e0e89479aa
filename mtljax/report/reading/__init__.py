"""From folders of runs to comparisons and curves."""
