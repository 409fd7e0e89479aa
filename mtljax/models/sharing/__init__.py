"""Ways to share between tasks, one file each."""
