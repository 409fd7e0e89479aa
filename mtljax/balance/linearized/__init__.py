"""What is read from the linearized losses: the row of each task, and whose each parameter is."""
