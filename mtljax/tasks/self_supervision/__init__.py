"""Depth and ego-motion without labels: the task and its terms."""
