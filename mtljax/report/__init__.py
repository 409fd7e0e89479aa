"""Reports of runs that were trained: tables, statistics over seeds, figures, pages. No JAX, no training."""
