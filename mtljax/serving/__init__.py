"""What a trained run is good for: predictions in Python and for files, and export to where mtljax is not."""

from mtljax.serving.loaded import Loaded, load

__all__ = ["Loaded", "load"]
