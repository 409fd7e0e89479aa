"""Two tasks from TensorFlow Datasets: the 100 classes of CIFAR-100 and their 20 superclasses.

python launch.py --config configs/cifar100.py

For one accelerator. The data is downloaded and prepared by TensorFlow Datasets on first use. No figures yet.
"""

from mtljax.train import default_config


def get_config():
    config = default_config()
    config.data = (
        "tfds('cifar100', keys={'image': 'image', 'fine': 'label', 'coarse': 'coarse_label'}, "
        "split={'train': 'train', 'validation': 'test'})"
    )
    config.model = "MultiTask(encoder=ResNet(depth=18, norm='batch', stem='small'))"
    config.tasks = {
        "fine": "classify(num_classes=100, label='fine')",
        "coarse": "classify(num_classes=20, label='coarse')",
    }
    config.balance = "pcgrad()"
    sgd = "chain(add_decayed_weights(5e-4), sgd(cosine_decay_schedule(0.1, steps), momentum=0.9))"
    config.optimizers = {"shared": sgd, "fine": sgd, "coarse": sgd}
    config.batch_size = 128
    config.steps = 20_000
    config.eval_every = 2_000
    config.checkpoint_every = 2_000
    config.panel_images = 0
    return config
