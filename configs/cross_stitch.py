"""Cross-stitch networks as their paper has them (Misra et al. 2016): two AlexNets, segmentation and normals.

python launch.py --config configs/cross_stitch.py                      # two stages of training
python launch.py --config configs/cross_stitch.py --config.table=True  # and the paper's three questions

First each network is trained alone; then they are stitched and trained on. The run prints what every unit learned and
draws it in stitch.png. `encoder`, `stages` and `alpha` are arguments of CrossStitch; `optimizer` is that of every
group, where `rate` stands for its learning rate; the mixing weights have `stitch_rate` times the rate of the networks.
docs/cross_stitch.md shows what to expect.
"""

from mtljax.train import default_config


def get_config():
    config = default_config()
    config.study = "cross_stitch"
    config.table = False
    config.encoder = "AlexNet(width=0.5, hidden=256)"
    config.stages = ("pool1", "pool2", "pool5", "fc6", "fc7")
    config.alpha = (0.9, 0.1)
    config.optimizer = "chain(clip(1.0), sgd(cosine_decay_schedule(rate, steps), momentum=0.9))"
    config.rate = 0.03
    config.stitch_rate = 100.0
    config.alone_steps = 400
    config.steps = 300
    config.data = "scenes('small')"
    config.tasks = {"segment": "segment(num_classes=5, width=32)", "normals": "normals(width=32)"}
    config.batch_size = 8
    config.eval_every = 1_000
    config.checkpoint_every = 300
    return config
