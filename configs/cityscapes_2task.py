"""Cityscapes in the two tasks of the papers: 7 classes and scaled disparity, at 128 x 256.

python launch.py --config configs/cityscapes_2task.py:FOLDER
python launch.py --config configs/cityscapes_2task.py:FOLDER --config.balance='nash_mtl()'

FOLDER is the one that the authors of MTAN share (docs/data.md). The published protocol (Nash-MTL, FAMO): MTAN on
SegNet, 200 epochs of 2975 images in batches of 8, Adam at 1e-4, halved after half of them, random scale and flip; L1
of the disparity. Figures are means over the last ten epochs and three seeds. The heads have one normalised layer more
than theirs; masks read one map a block (docs/sharing.md); and a prediction counts as at least 0.001.

For one GPU with 16 GB; not run here, so that its hours are not known. Published (Navon et al., ICML 2022, table 3),
mIoU, pixel accuracy (%), AbsErr, RelErr: each alone 74.01, 93.16, 0.0125, 27.77; equal 75.18, 93.49, 0.0155, 46.77; SI
70.95, 91.73, 0.0161, 33.83; RLW 74.57, 93.41, 0.0158, 47.79; DWA 75.24, 93.52, 0.0160, 44.37; UW 72.02, 92.85, 0.0140,
30.13; MGDA 68.84, 91.54, 0.0309, 33.50; PCGrad 75.13, 93.48, 0.0154, 42.07; GradDrop 75.27, 93.53, 0.0157, 47.54;
CAGrad 75.16, 93.48, 0.0141, 37.60; IMTL-G 75.33, 93.49, 0.0135, 38.41; Nash-MTL 75.41, 93.66, 0.0129, 35.02.
"""

from mtljax.train import default_config

IMAGES = 2975


def get_config(path: str = "data/cityscapes_arrays"):
    config = default_config()
    config.data = f"cityscapes_arrays({path!r})"
    config.augment = "compose(scale(choices=[1.0, 1.2, 1.5], depth='divided'), flip())"
    config.model = "MTAN(encoder=SegNet(pyramid=True))"
    config.tasks = {"segment": "segment(num_classes=7)", "depth": "depth(loss='l1')"}
    config.balance = "equal()"
    adam = "adam(piecewise_constant_schedule(1e-4, {steps // 2: 0.5}))"
    config.optimizers = {"shared": adam} | {name: adam for name in config.tasks}
    config.batch_size = 8
    config.steps = 200 * IMAGES // 8
    config.eval_every = 10 * IMAGES // 8
    config.checkpoint_every = 10 * IMAGES // 8
    config.loader_threads = 8
    return config
