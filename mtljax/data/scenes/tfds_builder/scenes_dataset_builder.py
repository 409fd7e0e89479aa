"""`scenes` as a TensorFlow Datasets builder, prepared and read without TensorFlow, in the feature schema of MOVi."""

import dataclasses
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from mtljax.data.scenes.parallel import rendered, workers
from mtljax.data.scenes.tfds_builder.buckets import plain_buckets
from mtljax.data.scenes.world import CLASSES

SEED = 0


@dataclasses.dataclass
class ScenesConfig(tfds.core.BuilderConfig):
    """A configuration of `scenes`.

    Attributes:
        size: height and width in pixels.
        frames: of a clip.
        clips: split -> number of clips.
        step: units of time from a frame to the next.
    """

    size: int = 32
    frames: int = 2
    clips: dict[str, int] = dataclasses.field(default_factory=dict)
    step: int = 1


def _config(name: str, size: int, frames: int, train: int, held_out: int, step: int = 1) -> ScenesConfig:
    return ScenesConfig(
        name=name,
        description=f"{frames} frames of {size} x {size}{f', {step} steps apart' if step > 1 else ''}",
        size=size,
        frames=frames,
        clips={"train": train, "validation": held_out, "test": held_out},
        step=step,
    )


class Scenes(tfds.core.GeneratorBasedBuilder):
    """Clips of simple solids in a room under a moving camera, with exact labels for every task."""

    VERSION = tfds.core.Version("1.1.0")
    BUILDER_CONFIGS = [  # noqa: RUF012 - the name and kind that TFDS reads
        _config("tiny", 32, 2, 512, 64),
        _config("small", 64, 4, 1024, 128),
        _config("medium", 128, 8, 1024, 64),
        _config("large", 256, 24, 512, 32),
        _config("tracks", 64, 12, 640, 96, step=2),
    ]

    @property
    def _chosen(self) -> ScenesConfig:
        return cast(ScenesConfig, self.builder_config)

    def _prepare_under_a_bar(self, **kwargs: Any) -> None:
        """Renders all splits on all cores, under one progress bar; arguments as in TFDS."""
        name, total = self._chosen.name, sum(self._chosen.clips.values())
        with (
            plain_buckets(),
            workers() as self._pool,
            tqdm(total=total, unit="clip", desc=f"rendering scenes/{name}", disable=None) as self._bar,
        ):
            super().download_and_prepare(**kwargs)

    download_and_prepare: Any = _prepare_under_a_bar  # in TFDS it is no function but what a decorator made of one

    def _info(self) -> tfds.core.DatasetInfo:
        size, s = self._chosen.size, self._chosen.frames

        def tensor(*shape: int, dtype: Any = np.float32) -> tfds.features.Tensor:
            return tfds.features.Tensor(shape=shape, dtype=dtype)

        features = {
            "video": tfds.features.Sequence(tfds.features.Image(shape=(size, size, 3)), length=s),
            "depth": tensor(s, size, size, 1),
            "normal": tensor(s, size, size, 3),
            "segmentations": tensor(s, size, size, 1, dtype=np.uint8),
            "semantic": tensor(s, size, size, 1, dtype=np.uint8),
            "edge": tensor(s, size, size, 1, dtype=np.uint8),
            "forward_flow": tensor(s, size, size, 2),
            "backward_flow": tensor(s, size, size, 2),
            "camera": {"positions": tensor(s, 3), "quaternions": tensor(s, 4), "intrinsics": tensor(3, 3)},
            "instances": tfds.features.Sequence(
                {
                    "bboxes": tensor(s, 4),
                    "positions": tensor(s, 3),
                    "quaternions": tensor(s, 4),
                    "scale": tensor(3),
                    "category": tfds.features.ClassLabel(names=CLASSES),
                    "visibility": tensor(s, dtype=np.int32),
                }
            ),
        }
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features),
            description="Procedural multi-task clips; see the documentation of mtljax.data.scenes.",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        del dl_manager
        return {split: self._generate_examples(split, number) for split, number in self._chosen.clips.items()}

    def _generate_examples(self, split: str, number: int) -> Iterator[tuple[int, dict[str, Any]]]:
        config = self._chosen
        for index, clip in rendered(self._pool, config.size, config.frames, SEED, split, number, config.step):
            self._bar.update()
            yield index, clip
