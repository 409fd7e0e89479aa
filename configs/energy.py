"""Consistency energy of a run: does it tell, without labels, where the run is wrong, and which images are odd?

python launch.py --config configs/label_network.py:depth --workdir runs/from_depth
python launch.py --config configs/label_network.py:edge --workdir runs/from_edges
python launch.py --config configs/energy.py:runs/scenes --config.other="camvid('PATH')"

The run predicts normals, depth and edges, as one of configs/scenes.py does. Leaves energy.csv, a row for every frame
of validation, as it is, blurred, noisy, and of other data; energy.json; and prints correlations and areas under the
curve (docs/consistency.md).
"""

import ml_collections


def get_config(run: str = "runs/scenes"):
    config = ml_collections.ConfigDict()
    config.study = "energy"
    config.run = run
    config.target = "normals"
    config.paths = {"depth": "runs/from_depth", "edges": "runs/from_edges"}
    config.probabilities = ("edges",)  # tasks that predict logits, of labels of 0 and 1
    config.other = ""  # call-string of other data, whose images are odd
    config.blur = 2.0  # pixels
    config.noise = 0.2  # of images in [0, 1]
    config.training = 256  # examples, by which distances are standardised
    config.images = 128  # examples of validation
    config.seed = 0
    return config
