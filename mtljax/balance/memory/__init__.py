"""What methods remember from step to step, and how one bad batch is kept out of it."""
