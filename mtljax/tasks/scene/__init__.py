"""Scene perception: what every pixel shows, and how the camera moves."""
