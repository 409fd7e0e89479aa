"""CelebA: forty yes-or-no questions about a face, a task each.

python launch.py --config configs/celeba.py:FOLDER
python launch.py --config configs/celeba.py:FOLDER --config.balance='famo()'

FOLDER is the one of CelebA (docs/data.md). The published protocol (FAMO): images at 64 x 64, a plain network of nine
layers with a linear head a task, binary cross-entropy, Adam at 3e-4 in batches of 256, 15 epochs of 162,770 images; F1
of each task on the test part, of the epoch that is best on the validation part: a run judges the validation part.

For one GPU; not run here, so that its hours are not known. Published, the mean worsening over tasks against a network
each, in per cent (Liu et al., NeurIPS 2023, table 3; FairGrad's from its paper): equal 4.15, SI 7.20, RLW 1.46, DWA
3.20, UW 3.23, MGDA 14.85, PCGrad 3.17, GradDrop 3.29, CAGrad 2.48, IMTL-G 0.84, Nash-MTL 2.84, FAMO 1.21, FairGrad
0.37.
"""

from mtljax.train import default_config

IMAGES = 162_770
ATTRIBUTES = (
    "5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald", "Bangs", "Big_Lips", "Big_Nose",
    "Black_Hair", "Blond_Hair", "Blurry", "Brown_Hair", "Bushy_Eyebrows", "Chubby", "Double_Chin", "Eyeglasses",
    "Goatee", "Gray_Hair", "Heavy_Makeup", "High_Cheekbones", "Male", "Mouth_Slightly_Open", "Mustache", "Narrow_Eyes",
    "No_Beard", "Oval_Face", "Pale_Skin", "Pointy_Nose", "Receding_Hairline", "Rosy_Cheeks", "Sideburns", "Smiling",
    "Straight_Hair", "Wavy_Hair", "Wearing_Earrings", "Wearing_Hat", "Wearing_Lipstick", "Wearing_Necklace",
    "Wearing_Necktie", "Young",
)  # fmt: skip


def get_config(path: str = "data/celeba"):
    config = default_config()
    config.data = f"celeba({path!r})"
    config.model = "MultiTask(encoder=ConvNet())"
    config.tasks = {name: f"tags(num_tags=1, label={name!r}, primary='F1')" for name in ATTRIBUTES}
    config.balance = "equal()"
    config.optimizers = dict.fromkeys(("shared", *ATTRIBUTES), "adam(3e-4)")
    config.batch_size = 256
    config.steps = 15 * IMAGES // 256
    config.eval_every = IMAGES // 256
    config.checkpoint_every = IMAGES // 256
    config.loader_threads = 8
    config.panel_images = 0
    return config
