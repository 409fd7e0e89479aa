"""Cityscapes: the 19 classes of street scenes, and their depth from stereo, at 256 x 512.

python launch.py --config configs/cityscapes.py:FOLDER

FOLDER holds leftImg8bit, gtFine, disparity and camera (docs/data.md). 200 epochs of 2975 images in batches of 8, Adam
at 1e-4, halved after half of them. For the 7 categories of MTAN and LibMTL:
--config.data="cityscapes('FOLDER', classes=7, size=(128, 256))" --config.tasks.segment="segment(num_classes=7)"; their
depth is the scaled disparity, ours is in metres, up to 80.

For one GPU with 16 GB or more, and cores enough to decode images of 1024 x 2048. No figures yet.
"""

from mtljax.train import default_config


def get_config(path: str = "data/cityscapes"):
    config = default_config()
    config.data = f"cityscapes({path!r}, classes=19, size=(256, 512), max_depth=80.0)"
    config.model = "MultiTask(encoder=ResNet(depth=50, norm='batch', dilated=True))"
    config.tasks = {"segment": "segment(num_classes=19, width=128)", "depth": "depth(loss='silog', width=128)"}
    config.balance = "equal()"
    adam = "adam(piecewise_constant_schedule(1e-4, {steps // 2: 0.5}))"
    config.optimizers = {"shared": adam} | {name: adam for name in config.tasks}
    config.batch_size = 8
    config.steps = 200 * 2975 // 8
    config.eval_every = 10 * 2975 // 8
    config.checkpoint_every = 10 * 2975 // 8
    config.loader_threads = 8
    return config
