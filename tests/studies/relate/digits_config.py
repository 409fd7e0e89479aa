"""A config of two tasks whose networks train in a second: `--config=.../digits_config.py:FOLDER` of made digits."""

from tests.studies.comparison import digits_config


def get_config(folder="nowhere"):
    made = digits_config.get_config(folder)
    made.model = "MultiTask(encoder=MLP(widths=[8]))"
    made.batch_size, made.steps = 4, 5
    made.parallel = "mesh(data=1)"
    return made
