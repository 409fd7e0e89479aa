"""NYU Depth v2 in the three tasks of the papers: 13 classes, depth and normals of rooms, at 288 x 384.

python launch.py --config configs/nyuv2.py:FOLDER
python launch.py --config configs/nyuv2.py:FOLDER --config.pretrained=resnet50.safetensors --config.balance='nash_mtl()'
python launch.py --config 'configs/nyuv2.py:FOLDER;segnet' --config.balance='nash_mtl()'

FOLDER is the one that the authors of MTAN share (docs/data.md). Both published protocols have 200 epochs of 795 images,
Adam at 1e-4, halved after half of them. LibMTL's, the default: a dilated ResNet-50 from ImageNet's weights, a head of
DeepLab v3 a task, batches of 8, no augmentation, weights decayed by 1e-5 within Adam, and images as they are, though
those weights want normalised ones. `segnet`, of Nash-MTL, FAMO and those after them: MTAN on SegNet from scratch,
batches of 2, random scale and flip; their figures are means over the last ten epochs and three seeds. There the heads
have one normalised layer more than theirs, and masks read one map a block (docs/sharing.md). Metrics are pooled over
all valid pixels.

For one GPU with 16 GB or more (batch normalisation reads the whole batch); not run here, so that its hours are not
known. Published for `segnet` (Navon et al., ICML 2022, table 2), mIoU, pixel accuracy (%), AbsErr, RelErr, mean and
median angle, and % within 11.25, 22.5 and 30 degrees: each alone 38.3, 63.76, 0.6754, 0.278, 25.01, 19.21, 30.14, 57.2,
69.15; equal 39.29, 65.33, 0.5493, 0.2263, 28.15, 23.96, 22.09, 47.5, 61.08; SI 38.45, 64.27, 0.5354, 0.2201, 27.6,
23.37, 22.53, 48.57, 62.32; RLW 37.17, 63.77, 0.5759, 0.241, 28.27, 24.18, 22.26, 47.05, 60.62; DWA 39.11, 65.31, 0.551,
0.2285, 27.61, 23.18, 24.17, 50.18, 62.39; UW 36.87, 63.17, 0.5446, 0.226, 27.04, 22.61, 23.54, 49.05, 63.65; MGDA
30.47, 59.9, 0.607, 0.2555, 24.88, 19.45, 29.18, 56.88, 69.36; PCGrad 38.06, 64.64, 0.555, 0.2325, 27.41, 22.8, 23.86,
49.83, 63.14; GradDrop 39.39, 65.12, 0.5455, 0.2279, 27.48, 22.96, 23.38, 49.44, 62.87; CAGrad 39.79, 65.49, 0.5486,
0.225, 26.31, 21.58, 25.61, 52.36, 65.58; IMTL-G 39.35, 65.6, 0.5426, 0.2256, 26.02, 21.19, 26.2, 53.13, 66.24; Nash-MTL
40.13, 65.93, 0.5261, 0.2171, 25.26, 20.08, 28.4, 55.47, 68.15.
"""

from mtljax.errors import unknown
from mtljax.train import default_config

IMAGES = 795
# network -> the model, images in a batch, an augmentation, the heads of 13, 1 and 3 channels, and a decay of weights
PROTOCOLS = {
    "resnet": (
        "MultiTask(encoder=ResNet(depth=50, norm='batch', dilated=True, normalise=False))",
        8,
        "",
        "ASPP({})",
        1e-5,
    ),
    "segnet": (
        "MTAN(encoder=SegNet(pyramid=True))",
        2,
        "compose(scale(choices=[1.0, 1.2, 1.5], depth='divided'), flip())",
        "Dense({}, width=64)",
        0.0,
    ),
}


def get_config(argument: str = "data/nyuv2"):
    path, _, network = argument.partition(";")
    network = network or "resnet"
    if network not in PROTOCOLS:
        raise unknown("network of configs/nyuv2.py:", network, PROTOCOLS)
    model, batch_size, augment, head, decay = PROTOCOLS[network]
    config = default_config()
    config.data = f"nyuv2({path!r})"
    config.augment = augment
    config.model = model
    config.tasks = {
        "segment": f"segment(num_classes=13, head={head.format(13)})",
        "depth": f"depth(loss='l1', head={head.format(1)})",
        "normals": f"normals(head={head.format(3)})",
    }
    config.balance = "equal()"
    adam = "adam(piecewise_constant_schedule(1e-4, {steps // 2: 0.5}))"
    adam = f"chain(add_decayed_weights({decay}), {adam})" if decay else adam
    config.optimizers = {"shared": adam} | {name: adam for name in config.tasks}
    config.parallel = "mesh(data=1)"
    config.batch_size = batch_size
    config.steps = 200 * IMAGES // batch_size
    config.eval_every = 10 * IMAGES // batch_size
    config.checkpoint_every = 10 * IMAGES // batch_size
    return config
