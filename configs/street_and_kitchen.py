"""Two real data sets in one run, each with labels of its own: streets (CamVid) and a kitchen (RGB-D video).

python launch.py --config 'configs/street_and_kitchen.py:PATH_OF_CAMVID;PATH_OF_THE_KITCHEN'

Streets have classes and edges between them; the kitchen has depth, normals, edges, flow and ego-motion. Batches hold
both alike on average; a task without a label in a batch is absent from its step. Edges of streets are borders of
classes, those of the kitchen are where depth or normals are discontinuous: giving both one name, in `rename`, says that
they are one task here. To measure what labels are worth, hide some of them: --config.missing=0.5.

Small images, for two CPU cores: about eight minutes. What to expect on validation, and of a constant predictor, no flow
and a still camera: segment mIoU 0.24 (0.03), edges ODS-F 0.26 (0.19), depth AbsRel 0.19 (0.32), normals 26 degrees
(49), flow EPE 0.46 pixels (1.36), ego-motion RPE 0.012 m (0.015) and 0.42 degrees (1.35). The edges' figure is from
before labels were thinned as predictions are, another scale (docs/tasks.md).
"""

from mtljax.errors import UserError
from mtljax.train import default_config


def get_config(paths: str = "data/camvid;data/kitchen"):
    street, _, kitchen = paths.partition(";")
    if not street or not kitchen:
        raise UserError(f"{paths!r}: expected the folders of CamVid and of the kitchen, as 'data/camvid;data/kitchen'.")
    config = default_config()
    config.data = (
        f"mix({{'street': camvid({street!r}, frames=2), 'kitchen': rgbd({kitchen!r}, frames=2, stride=1, every=3)}}, "
        "ratio={'street': 1, 'kitchen': 1}, size=(48, 64), "
        "rename={'street': {'edge': 'edge'}, 'kitchen': {'edge': 'edge'}})"
    )
    config.model = "MultiTask(encoder=ResNet(depth=10, width=32, norm='group', stem='patch2'))"
    config.tasks = {
        "segment": "segment(num_classes=11, width=32)",
        "edges": "edges(width=32)",
        "depth": "depth(width=32)",
        "normals": "normals(width=32)",
        "flow": "flow()",
        "ego_motion": "ego_motion(depth='depth')",
    }
    config.balance = "pcgrad()"
    config.measure = "features"
    adam = "chain(clip_by_global_norm(1.0), adamw(warmup_cosine_decay_schedule(0.0, 2e-3, steps // 10, steps)))"
    config.optimizers = {"shared": adam} | {name: adam for name in config.tasks}
    config.batch_size = 8
    config.steps = 300
    config.eval_every = 150
    config.checkpoint_every = 150
    return config
