"""The toy landscape of CAGrad, Nash-MTL and FAMO: two losses, five starts, two scales of the first loss.

python launch.py --config configs/toy.py
python launch.py --config configs/toy.py --config.methods='mgda();upgrad()' --config.steps=20000

Leaves the trajectories in toy.png and their ends in toy.json, and prints the ends. docs/toy.md shows what to expect.
"""

import ml_collections


def get_config():
    config = ml_collections.ConfigDict()
    config.study = "toy"
    config.methods = "sum();mgda();pcgrad();cagrad(c=0.4);nash_mtl();upgrad();imtl_g();gradnorm()"
    config.steps = 50_000
    config.optimizer = "adam(1e-3)"
    config.seed = 0
    return config
