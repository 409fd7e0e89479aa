"""Data sets, one file each, and what their readers share."""
