"""Paths of single pedestrians of ETH and UCY: 8 places seen, the next 12 told in 20 ways. One scene is left out.

python launch.py --config 'configs/eth_ucy.py:FOLDER;hotel'

FOLDER holds the text files of the scenes (docs/data.md); after a semicolon comes the scene that is left out: eth,
which is the default, hotel, univ, zara1 or zara2. After 600 of the steps, eth had minADE 0.39 m and minFDE 0.54 m of
20 ways, and ADE 0.95 m of the likeliest; the other scenes have no figures yet.
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
