"""Office-31: one list of things in three domains, a task each, and each example is of one.

python launch.py --config configs/office.py:FOLDER
python launch.py --config configs/office.py:FOLDER --config.pretrained=resnet18.safetensors --config.balance='pcgrad()'

FOLDER holds `amazon`, `dslr` and `webcam` (docs/data.md). LibMTL's protocol: images at 224 x 224, a ResNet-18 from
ImageNet's weights (`pretrained`), a layer of 512 units with batch normalisation and dropout that the domains share
(here each task has its own, without normalisation), 64 images of each domain a step, each domain in a pass of its own
(here in one, so that batch statistics are of all), Adam at 1e-4 with weights decayed by 1e-5 within it, 100 epochs of
the largest domain; three fifths for training and a fifth each for validation and test; accuracies on the test part of
the epoch that is best on validation. For LibMTL's own splits, name its lists: office(..., lists='FOLDER_OF_LISTS').

For Office-Home: `office(FOLDER, 'Art')`, `Clipart`, `Product`, `Real World`, with 65 classes and labels in small
letters. For one GPU with 8 GB; not run here, so that its hours are not known. LibMTL publishes no row for this network
of ours.
"""

from mtljax.train import default_config

DOMAINS, CLASSES, LARGEST = ("amazon", "dslr", "webcam"), 31, 1690


def get_config(path: str = "data/office31"):
    config = default_config()
    sets = ", ".join(f"{domain!r}: office({path!r}, {domain!r})" for domain in DOMAINS)
    ratio = ", ".join(f"{domain!r}: 1" for domain in DOMAINS)
    config.data = f"mix({{{sets}}}, ratio={{{ratio}}}, exact=True)"
    config.model = "MultiTask(encoder=ResNet(depth=18, norm='batch'))"
    config.tasks = {
        domain: f"classify(num_classes={CLASSES}, label={domain!r}, head=Classifier({CLASSES}, hidden=(512,)))"
        for domain in DOMAINS
    }
    config.balance = "equal()"
    config.optimizers = dict.fromkeys(("shared", *DOMAINS), "chain(add_decayed_weights(1e-5), adam(1e-4))")
    config.batch_size = 64 * len(DOMAINS)
    config.steps = 100 * (LARGEST // 64)
    config.eval_every = 10 * (LARGEST // 64)
    config.checkpoint_every = 10 * (LARGEST // 64)
    config.loader_threads = 4
    config.panel_images = 0
    return config
