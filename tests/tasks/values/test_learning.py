"""Numbers, tags and key points are learned from a file of arrays, in one run, better than by their constants."""

import json

import numpy as np
import pytest

from mtljax.train import default_config
from mtljax.train.run import loop

NUMBER, SIDE = 160, 16


def bright_squares(file):
    """Pictures with one bright square: where it is, how bright, and which halves it is in; some labels are missing."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 40, (NUMBER, SIDE, SIDE)).astype(np.uint8)
    x, y = rng.integers(2, SIDE - 2, (2, NUMBER))
    bright = rng.integers(100, 256, NUMBER)
    for i in range(NUMBER):
        image[i, y[i] - 2 : y[i] + 2, x[i] - 2 : x[i] + 2] = bright[i]
    missing = rng.random(NUMBER) < 0.1
    np.savez(
        file,
        image=image,
        age=np.where(missing, np.nan, bright / 2.0),
        halves=np.stack([x < SIDE // 2, y < SIDE // 2, y < 0], axis=-1),
        keypoints=np.stack([x, y], axis=-1)[:, None].astype(np.float32),
    )


@pytest.mark.slow
def test_what_is_in_a_file_of_arrays_is_learned(tmp_path, capsys):
    bright_squares(tmp_path / "squares.npz")
    config = default_config()
    config.data = f"from_arrays({str(tmp_path / 'squares.npz')!r})"
    config.model = "MultiTask(encoder=UNet(width=8, levels=2))"
    config.tasks = {
        "age": "regress(label='age', mean=89, std=22)",
        "halves": "tags(num_tags=3, label='halves', names=['left', 'top', 'never'])",
        "at": "keypoints(num_points=1, width=16)",
    }
    config.optimizers = dict.fromkeys(("shared", "age", "halves", "at"), "adam(3e-3)")
    config.batch_size, config.steps, config.panel_images, config.parallel = 16, 150, 2, "mesh(data=1)"
    loop.train(config, tmp_path / "run")
    told = capsys.readouterr()
    assert "warning: task 'halves', in 64 training examples looked at: no example has the tags never." in told.err
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    found, constant = ([line for line in lines if line["split"] == split][-1] for split in ("validation", "constant"))
    assert found["age/MAE"] < 0.6 * constant["age/MAE"]
    assert found["age/R2"] > 0.5 > 0.1 > constant["age/R2"]
    assert found["halves/mAP"] > max(0.9, constant["halves/mAP"])
    assert found["halves/unseen"] == pytest.approx(1 / 3)
    assert found["at/PCK_0.1"] > 0.8 > 0.4 > constant["at/PCK_0.1"]
    assert found["at/error"] < 0.5 * constant["at/error"]
    assert (tmp_path / "run" / "panel.png").exists()
