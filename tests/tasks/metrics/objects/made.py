"""Random truths and detections, made of them: some moved, some missed, some false."""

import numpy as np

from mtljax.tasks.metrics.objects.overlap import box_areas
from mtljax.tasks.metrics.objects.precision import Found, Truth
from mtljax.tasks.metrics.objects.tracking.sequence import Tracks


def boxes(rng, number, size=200.0):
    return np.concatenate([rng.uniform(0, size, (number, 2)), rng.uniform(4, size / 2, (number, 2))], axis=1).round(1)


def detections(rng, images=12, objects=60, classes=4, false=60):
    """Objects and detections of a split; scores come in tenths, so that many are equal."""
    box = boxes(rng, objects)
    truth = Truth(
        rng.integers(1, images, objects),
        rng.integers(1, classes, objects),
        box,
        box_areas(box),
        rng.random(objects) < 0.15,
    )
    near = (np.repeat(box, 2, axis=0) + rng.normal(0, 4, (2 * objects, 4))).clip(1).round(1)
    box = np.concatenate([near, boxes(rng, false)])
    image = np.concatenate([np.repeat(truth.image, 2), rng.integers(1, images + 1, false)])
    category = np.concatenate([np.repeat(truth.category, 2), rng.integers(1, classes + 1, false)])
    order = rng.permutation(len(box))
    score = rng.integers(1, 10, len(box)) / 10
    return truth, Found(image[order], category[order], box[order], box_areas(box)[order], score)


def tracks(rng, frames=12, objects=5, ignored=0.15):
    """A sequence of objects that come and go, and tracks that follow, are lost, swap and are false."""
    place = boxes(rng, objects)[:, None] + np.arange(frames)[:, None] * np.append(rng.normal(0, 3, 2), [0, 0])
    there = np.sort(rng.integers(0, frames + 1, (objects, 2)), axis=1)
    at, frame = np.nonzero((np.arange(frames) >= there[:, :1]) & (np.arange(frames) < there[:, 1:]))
    truth = Tracks(frame + 1, 10 * at + 3, place[at, frame], rng.random(len(at)) < ignored)
    kept = rng.random(len(at)) < 0.8
    moved = place[at, frame] + rng.normal(0, 3, (len(at), 4))
    name = np.where(frame > frames // 2, (at + rng.integers(0, 2)) % objects, at)
    other = rng.integers(1, frames + 1, frames)
    other = np.unique(other)
    found = Tracks(
        np.concatenate([frame[kept] + 1, other]),
        np.concatenate([name[kept] + 50, np.full(len(other), 7)]),
        np.concatenate([moved[kept].clip(1), boxes(rng, len(other))]),
    )
    return truth, found
