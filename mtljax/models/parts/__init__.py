"""What encoders, heads and ways to share are made of."""
