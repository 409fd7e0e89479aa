"""Pictures of 16 bits in prepared TFDS data: TFDS itself reads them with TensorFlow or OpenCV alone."""

from typing import Any

import numpy as np

from mtljax.data.reading.raw_records import decoded

_PNG = b"\x89PNG"  # the one form in which TFDS stores pictures of 16 bits


def as_files(features: Any) -> dict[str, Any] | None:
    """TFDS's decoders for the pictures of 16 bits among a builder's features: they come as the bytes of their files.

    Args:
        features: of the builder, `builder.info.features`.

    Returns:
        What `builder.as_data_source(decoders=...)` takes; None where there are none.
    """
    import tensorflow_datasets

    found: dict[str, Any] = {}
    for key in features:
        feature = features[key]
        if type(feature) is tensorflow_datasets.features.FeaturesDict:
            if inner := as_files(feature):
                found[key] = inner
        elif isinstance(feature, tensorflow_datasets.features.Image) and feature.np_dtype == np.uint16:
            found[key] = tensorflow_datasets.decode.SkipDecoding()
    return found or None


def pixels(value: Any) -> np.ndarray:
    """A feature's value as an array: of the bytes that `as_files` leaves the picture, (H, W, C).

    Raises:
        UserError: where it does not decode.
    """
    is_picture = isinstance(value, bytes) and value.startswith(_PNG)  # else a text
    return decoded([value])[0] if is_picture else np.asarray(value)
