"""What heads for objects are made of."""
