"""What heads for motion compare frames by."""
