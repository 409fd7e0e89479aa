"""What readers of data sets share: files, pictures, text, records."""
