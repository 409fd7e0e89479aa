"""Adult: income and marital status of people, from a census.

python launch.py --config configs/adult.py:FOLDER
python launch.py --config configs/adult.py:FOLDER --mode=compare --vary=model --seeds=5 --methods='single;
  MultiTask(MLP((64, 32)));MMoE(MLP((64, 32)), experts=4);PLE(MLP((32, 32)), shared=2, own=1)'

FOLDER holds adult.data of the UCI Machine Learning Repository. docs/sharing.md has the table.
"""

from mtljax.train import default_config


def get_config(path: str = "adult"):
    config = default_config()
    config.data = f"adult({path!r})"
    config.model = "MultiTask(encoder=MLP((64, 32)))"
    config.tasks = {
        label: f"classify(num_classes=2, label={label!r}, primary='AUC')" for label in ("income", "marital")
    }
    adam = "adamw(cosine_decay_schedule(3e-3, steps), weight_decay=1e-3)"
    config.optimizers = {"shared": adam, "income": adam, "marital": adam}
    config.batch_size = 256
    config.steps = 800
    config.eval_every = 400
    config.checkpoint_every = 800
    config.panel_images = 0
    return config
