"""Losses on maps and motions, and the masked sums that they are made of."""
