"""A run: its loop, its evaluation, and what it leaves on disk."""
