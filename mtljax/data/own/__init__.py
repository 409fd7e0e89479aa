"""Data of one's own without a class: arrays, a table beside pictures, rows of any kind."""
