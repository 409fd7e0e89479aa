"""What ways to share have in common."""
