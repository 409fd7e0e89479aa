"""Paths of single pedestrians of ETH and UCY: 8 places seen, the next 12 told in 20 ways. One scene is left out.

python launch.py --config 'configs/eth_ucy.py:FOLDER;hotel'

FOLDER holds the text files of the scenes (docs/data.md); after a semicolon comes the scene that is left out: eth,
which is the default, hotel, univ, zara1 or zara2. What to expect of all steps, one seed, in metres (`full` protocol,
zara2's file not there; of the likeliest way, and in brackets of constant velocity; of the best of 20):

| scene | ADE | minADE_20 | minFDE_20 |
|---|---|---|---|
| eth | 0.94 (1.00) | 0.37 | 0.53 |
| hotel | 0.31 (0.32) | 0.13 | 0.18 |
| zara1 | 0.51 (0.43) | 0.20 | 0.38 |
| univ | 0.66 (0.52) | 0.26 | 0.47 |

A scene takes 40 to 50 seconds of one busy core, most of it for reading examples one by one.
"""

from mtljax.train import default_config


def get_config(chosen: str = "data/eth_ucy;eth"):
    path, _, test = chosen.partition(";")
    config = default_config()
    config.data = f"eth_ucy({path!r}, test={test or 'eth'!r}, ahead=True, varied=True)"
    config.model = "MultiTask(encoder=MLP((128, 128)))"
    config.tasks = {"trajectory": "trajectory(track=None, modes=20, steps=12, history=8)"}
    config.balance = "sum()"
    adam = "adam(cosine_decay_schedule(1e-3, steps))"
    config.optimizers = {"shared": adam, "trajectory": adam}
    config.batch_size = 64
    config.steps = 2000
    config.eval_every = 2000
    config.checkpoint_every = 2000
    config.panel_images = 0
    return config
