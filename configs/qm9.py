"""QM9: eleven properties of molecules by one message-passing network.

python launch.py --config configs/qm9.py
python launch.py --config configs/qm9.py --config.balance='famo()'

The published protocol (Nash-MTL): 110,000 molecules for training, 10,000 each for validation and test; the network of
Gilmer et al. with a linear layer a task; targets normalised, squared error; Adam at 1e-3 in batches of 120, 300 epochs,
times 0.7 when the mean worsening on validation has not bettered for 5 epochs: here a cosine to 1e-5, as a schedule
knows no figures; test figures of the epoch that is best by it. The network sees kinds of atoms and distances; theirs
sees aromaticity, hybridisation, hydrogens and kinds of bonds as well, which the builder does not have. The metric is
the absolute error, energies in meV. TensorFlow Datasets downloads 84 MB on first use, and wants pandas to prepare it.

For one GPU; not run here, so that its hours are not known. Published (Navon et al., ICML 2022, table 6), in the order
mu, alpha, homo, lumo, r2, zpve, U0, U, H, G, cv: each alone 0.067, 0.181, 60.57, 53.91, 0.502, 4.53, 58.8, 64.2, 63.8,
66.2, 0.072; equal 0.106, 0.325, 73.57, 89.67, 5.19, 14.06, 143.4, 144.2, 144.6, 140.3, 0.128; SI 0.309, 0.345, 149.8,
135.7, 1.00, 4.50, 55.3, 55.75, 55.82, 55.27, 0.112; RLW 0.113, 0.340, 76.95, 92.76, 5.86, 15.46, 156.3, 157.1, 157.6,
153.0, 0.137; DWA 0.107, 0.325, 74.06, 90.61, 5.09, 13.99, 142.3, 143.0, 143.4, 139.3, 0.125; UW 0.386, 0.425, 166.2,
155.8, 1.06, 4.99, 66.4, 66.78, 66.80, 66.24, 0.122; MGDA 0.217, 0.368, 126.8, 104.6, 3.22, 5.69, 88.37, 89.40, 89.32,
88.01, 0.120; PCGrad 0.106, 0.293, 75.85, 88.33, 3.94, 9.15, 116.36, 116.8, 117.2, 114.5, 0.110; CAGrad 0.118, 0.321,
83.51, 94.81, 3.21, 6.93, 113.99, 114.3, 114.5, 112.3, 0.116; IMTL-G 0.136, 0.287, 98.31, 93.96, 1.75, 5.69, 101.4,
102.4, 102.0, 100.1, 0.096; Nash-MTL 0.102, 0.248, 82.95, 81.89, 2.42, 5.38, 74.5, 75.02, 75.10, 74.16, 0.093.
"""

from mtljax.train import default_config

MOLECULES = 110_000
# About the mean and the standard deviation of each target, in its unit: what squared errors are measured by.
SPREAD = {
    "mu": (2.71, 1.53),
    "alpha": (75.2, 8.19),
    "homo": (-6530.0, 597.0),
    "lumo": (303.0, 1270.0),
    "r2": (1190.0, 280.0),
    "zpve": (4050.0, 905.0),
    "U0": (-76100.0, 10320.0),
    "U": (-76600.0, 10410.0),
    "H": (-77000.0, 10490.0),
    "G": (-70800.0, 9500.0),
    "cv": (31.6, 4.06),
}


def get_config():
    config = default_config()
    config.data = "qm9()"
    config.model = "MultiTask(encoder=MPNN())"
    config.tasks = {
        label: f"regress(label={label!r}, loss='l2', mean={mean}, std={std})" for label, (mean, std) in SPREAD.items()
    }
    config.balance = "equal()"
    adam = "adam(cosine_decay_schedule(1e-3, steps, alpha=0.01))"
    config.optimizers = {"shared": adam} | dict.fromkeys(config.tasks, adam)
    config.batch_size = 120
    config.steps = 300 * MOLECULES // 120
    config.eval_every = 5 * MOLECULES // 120
    config.checkpoint_every = 5 * MOLECULES // 120
    config.loader_threads = 4
    config.panel_images = 0
    return config
