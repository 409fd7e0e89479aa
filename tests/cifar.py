"""CIFAR-100 as its own TFDS builder prepares it, from made images as it cannot be downloaded everywhere."""

import numpy as np
import pytest

from mtljax.data.quiet import quiet_tfds

IMAGES = np.random.default_rng(0).integers(0, 255, (20, 32, 32, 3), np.uint8)
SPLITS = {"train": range(16), "test": range(16, 20)}


def prepare(folder):
    """Prepares twenty images with labels of both tasks; returns the folder for `data_dir`."""
    with pytest.MonkeyPatch.context() as patch, quiet_tfds():
        from PIL import Image
        from tensorflow_datasets.image_classification import cifar

        names = sorted(cifar.Cifar100().info.features["label"].names)

        def examples(numbers):
            for i in numbers:
                image = Image.fromarray(IMAGES[i])
                yield i, {"id": f"{i}", "image": image, "label": names[i], "coarse_label": i % 20}

        patch.setattr(
            cifar.Cifar100, "_split_generators", lambda self, _: {split: examples(n) for split, n in SPLITS.items()}
        )
        cifar.Cifar100(data_dir=folder, file_format="array_record").download_and_prepare()
    return folder
