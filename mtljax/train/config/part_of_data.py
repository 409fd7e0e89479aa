"""Parts of the training examples, by a share that the config names: each at least a batch."""

from mtljax.data import Source
from mtljax.data.part import Part
from mtljax.errors import UserError
from mtljax.train.config.default import RunConfig


def part_of(split: Source, config: RunConfig, key: str, *, rest: bool = False) -> Part:
    """A part of a split, or the rest of it.

    Args:
        split: to take it from.
        config: of the run.
        key: of the config, `train_share` or `validation_share`.
        rest: whether what the part leaves out is wanted.

    Raises:
        UserError: where that is less than a batch.
    """
    share = config.validation_share if key == "validation_share" else config.train_share
    part = Part(split, share, config.seed, rest=rest)
    if len(part) < config.batch_size:
        raise UserError(
            f"config.{key}={share} leaves {len(part)} of {len(split)} training examples"
            f"{' to train on' if rest else ''}, less than batch_size={config.batch_size}; expected a "
            f"{'smaller' if rest else 'larger'} share, or a smaller batch."
        )
    return part
