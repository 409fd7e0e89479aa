"""A config of tracks that trains in seconds, on sequences that a test made."""

from mtljax.train import default_config


def get_config(folder="nowhere"):
    config = default_config()
    config.data = f"mot({folder!r}, sequences=['A', 'B'], size=(24, 40), objects=8)"
    encoder = "ViT(size='Ti', depth=1, patch=4)"  # which is compiled quickly
    # Tracks of true boxes by offsets that have not learned: some objects are kept, some are not.
    config.model = f"MultiTask(encoder=FPN(encoder={encoder}, width=8, stride=4), edges={{'detect->track': 'truth'}})"
    config.tasks = {"detect": "detect(classes=1, slots=8, width=8)", "track": "track(width=8)"}
    config.balance = "sum()"
    config.optimizers = {name: "sgd(1e-3)" for name in ("shared", *config.tasks)}
    config.batch_size = 4
    config.steps = 1
    config.log_every = 1
    config.panel_images = 0
    return config
