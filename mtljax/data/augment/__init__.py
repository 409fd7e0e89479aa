"""Augmentations that keep labels true: each changes an example's image and all of its labels together.

An augmentation is a pure function of an example and a NumPy generator. What it draws holds for all frames of a clip, so
that motion stays true; the example given is left as it was, its images stay of their type, and no mask grows. What is
done to a label goes by its kind, which `mtljax.data.dataset` tells of its name, or its data set does: an array of
normals by any other name, of which nothing is said, is moved about as an image of numbers is, and not turned. A class
of the whole image stays what it was: whether a flip leaves it true is for the config to know.

Labels and masks are resampled by the nearest pixel (edges by any that is covered), so that a valid value is never mixed
with an invalid one; images by an average over what a pixel covers, or linearly between pixels.
"""

from mtljax.data.augment.augmentation import Augmentation
from mtljax.data.augment.colour import colour
from mtljax.data.augment.compose import compose
from mtljax.data.augment.crop import crop
from mtljax.data.augment.flip import flip
from mtljax.data.augment.moment import moment
from mtljax.data.augment.resize import resize
from mtljax.data.augment.scale import scale

__all__ = ["Augmentation", "colour", "compose", "crop", "flip", "moment", "resize", "scale"]
