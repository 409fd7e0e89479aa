"""The keys of a run's config and their defaults: one table, that runs start from and reports read earlier runs by."""

from collections.abc import Mapping
from typing import Any

# A default is what runs did before there was the key: where a stored config lacks one, it stands for it.
DEFAULTS: Mapping[str, Any] = {
    "data": "scenes('tiny')",  # what is learned from
    "input": "",  # label that takes the place of the image, such as 'depth'; '' for the image
    "augment": "",  # of the training examples alone, such as 'compose(flip(), scale(1.0, 1.5))'; '' for none
    "model": "MultiTask(encoder=ResNet(depth=18))",  # how the tasks share a network
    "pretrained": "",  # file of weights (.safetensors, .pth) that the encoders start from
    "init_from": "",  # workdir of a run whose parameters are taken where their names are the same
    "modules": "",  # folders of the modules of your own that call-strings name; found out where it is ''
    "tasks": {},  # name -> call-string; losses come in the alphabetical order of names
    "balance": "equal()",  # how losses and gradients of the tasks are weighed against each other
    "balance_groups": (),  # instead: one for each group of parameters, [('encoder/conv1.*', 'pcgrad()'), ...]
    "measure": "shared",  # what a gradient method looks at: shared, last_layer or features
    "optimizers": {},  # 'shared' and every task -> call-string; 'steps' may stand in it
    "clip_norm": 0.0,  # norm to which the gradient of all groups together is clipped; 0 for none
    "no_decay": "",  # what weight decay leaves out: 'norms and biases', or a regular expression on paths
    "parallel": "mesh(data=-1)",  # how a step is spread over devices; or mesh(data=2, fsdp=4), pmap()
    "batch_size": 16,  # examples a step, on all devices together
    "accumulate": 1,  # parts of each device's batch that are worked through one after the other
    "remat": False,  # compute the encoder's activations again in each backward pass, instead of keeping them
    "dtype": "float32",  # of the encoder's computation; or bfloat16. Parameters are float32
    "jacobian": "auto",  # of rows: unrolled, vmap, streamed (never held); auto: by device and size
    "steps": 1000,  # updates in all
    "seed": 0,  # of everything that is drawn; the same seed, the same run
    "log_every": 10,  # steps between two lines of training figures
    "profile": (0, 0),  # first and last of the steps of which a profiler's trace is written; 0 for none
    "eval_every": 500,  # steps between two evaluations on the validation split
    "checkpoint_every": 500,  # steps between two checkpoints
    "keep_checkpoints": 3,  # of which the newest so many are kept
    "keep_best": "",  # figure whose best checkpoint is kept as well, such as 'depth/AbsRel', or 'delta_m'
    "max_skipped_in_row": 10,  # non-finite updates in a row after which the run stops
    "loader_threads": 2,  # threads that read examples
    "unreadable_share": 0.01,  # of the training records that may be unreadable; they are told and left out
    "train_share": 1.0,  # of the training examples, by the seed; a smaller part is a part of every larger one
    "validation_share": 0.1,  # of them, kept aside where the balancer needs a validation batch, and there alone
    "missing": 0.0,  # share of the labels of training examples that are hidden, each at random
    "panel_images": 4,  # examples on the picture of predictions, panel.png
    "baseline_examples": 256,  # training examples from which the constant predictor is made
    "cosines_every": 0,  # steps after which gradient cosines are measured for methods that do not; 0 for never
    "affinity_every": 0,  # steps after which it is measured what a step on each task does to each; 0 for never
    "affinity_step": 0.01,  # length of that plain gradient step; 0 for the first order alone
    "writers": "",  # of figures, besides metrics.jsonl and TensorBoard: "wandb(project='mine'), mlflow()"
}
