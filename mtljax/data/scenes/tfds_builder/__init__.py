"""The TFDS builder, in a folder of its own, as TFDS wants it."""
