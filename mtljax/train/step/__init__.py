"""The training step and the evaluation step."""
