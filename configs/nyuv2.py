"""NYU Depth v2 in the three tasks of the papers: 13 classes, depth and normals of rooms, at 288 x 384.

python launch.py --config configs/nyuv2.py:FOLDER
python launch.py --config configs/nyuv2.py:FOLDER --config.pretrained=resnet50.safetensors --config.balance='nash_mtl()'

FOLDER is the one that the authors of MTAN share (docs/data.md). The published protocol: 200 epochs of 795 images in
batches of 2, Adam at 1e-4, halved after half of them; a dilated ResNet-50 from ImageNet's weights (`pretrained`), as
LibMTL has it; no augmentation, as in MTAN's paper, and images as they are, though those weights want normalised ones.
The heads are feature pyramids in place of DeepLab's. The metrics of the papers are mIoU and pixel accuracy, AbsErr and
AbsRel, and those of angles, here pooled over all valid pixels.

For one GPU with 16 GB or more (batch normalisation reads the whole batch of 2). No figures yet.
"""

from mtljax.train import default_config


def get_config(path: str = "data/nyuv2"):
    config = default_config()
    config.data = f"nyuv2({path!r})"
    config.model = "MultiTask(encoder=ResNet(depth=50, norm='batch', dilated=True, normalise=False))"
    config.tasks = {
        "segment": "segment(num_classes=13, width=128)",
        "depth": "depth(loss='l1', width=128)",
        "normals": "normals(width=128)",
    }
    config.balance = "equal()"
    adam = "adam(piecewise_constant_schedule(1e-4, {steps // 2: 0.5}))"
    config.optimizers = {"shared": adam} | {name: adam for name in config.tasks}
    config.parallel = "mesh(data=1)"
    config.batch_size = 2
    config.steps = 200 * 795 // 2
    config.eval_every = 10 * 795 // 2
    config.checkpoint_every = 10 * 795 // 2
    return config
