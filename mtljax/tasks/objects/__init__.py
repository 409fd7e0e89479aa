"""Tasks of objects: what is there, which pixels are whose, how it lies, which is which, and where it will go."""
