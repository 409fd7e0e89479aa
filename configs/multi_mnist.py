"""MultiMNIST: two overlaid digits, read by one LeNet with a head for each.

python launch.py --config configs/multi_mnist.py                # digits from TensorFlow Datasets
python launch.py --config configs/multi_mnist.py:FOLDER         # from MNIST's own files
python launch.py --config configs/multi_mnist.py:FOLDER --mode=compare --methods='single;equal();pcgrad()' --seeds=5
"""

from mtljax.train import default_config


def get_config(path: str = ""):
    config = default_config()
    config.data = f"multi_mnist({path!r})" if path else "multi_mnist()"
    config.model = "MultiTask(encoder=LeNet())"
    config.tasks = {
        side: f"classify(num_classes=10, label='{side}', head=Classifier(10, hidden=(50,)))"
        for side in ("left", "right")
    }
    config.balance = "mgda()"
    adam = "adam(cosine_decay_schedule(2e-3, steps))"
    config.optimizers = {"shared": adam, "left": adam, "right": adam}
    config.batch_size = 256
    config.steps = 2_000
    config.eval_every = 1_000
    config.checkpoint_every = 1_000
    config.panel_images = 0
    return config
