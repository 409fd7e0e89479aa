"""Tasks that predict a few values for an image or a row of a table."""
