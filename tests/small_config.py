"""A config that trains in seconds, on a folder of frames that a test made."""

from mtljax.train import default_config


def get_config(folder="nowhere"):
    config = default_config()
    config.data = f"rgbd({folder!r})"
    config.model = "MultiTask(encoder=UNet(width=4, levels=0, norm='batch'))"
    config.tasks = {"depth": "depth(width=4)", "normals": "normals(width=4)"}
    config.balance = "pcgrad()"
    config.optimizers = {name: "adam(1e-2)" for name in ("shared", "depth", "normals")}
    config.batch_size = 8
    config.steps = 40
    config.log_every = 1
    config.eval_every = 30
    config.checkpoint_every = 10
    config.panel_images = 2
    return config
