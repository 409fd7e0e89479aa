"""Reports of runs that were trained: tables, statistics over seeds, figures, pages. Needs no JAX, and trains nothing."""
