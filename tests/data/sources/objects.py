"""Small data sets of objects, written as their authors do."""

import json

import numpy as np
from PIL import Image

H, W = 24, 40


def image(number):
    """Of one colour, (H, W, 3)."""
    return np.full((H, W, 3), 10 + number, np.uint8)


def write_pedestrians(folder, number=10):
    """PennFudan: image i has i % 3 + 1 pedestrians, each two columns wide."""
    for part in ("PNGImages", "PedMasks"):
        (folder / part).mkdir(parents=True)
    for i in range(number):
        ids = np.zeros((H, W), np.uint8)
        for one in range(i % 3 + 1):
            ids[4:16, 8 * one + 4 : 8 * one + 6] = one + 1
        Image.fromarray(image(i)).save(folder / "PNGImages" / f"Ped{i:05d}.png")
        Image.fromarray(ids).save(folder / "PedMasks" / f"Ped{i:05d}_mask.png")
    return folder


TRUTH = [  # of MOT16 and later: frame, id, left, top, width, height, confidence, class, visibility
    "1,7,5,3,8,12,1,1,1", "2,7,7,3,8,12,1,1,0.5", "3,7,9,3,8,12,1,1,1", "4,7,11,3,8,12,1,1,1",
    "1,2,37,3,8,12,1,1,1", "2,2,41,3,8,12,1,1,1", "2,9,1,1,4,4,0,12,1", "3,9,1,1,4,4,1,8,1", "4,9,1,1,4,4,1,3,1",
]  # fmt: skip


def write_sequence(folder, truth=TRUTH, length=8, lacking=()):
    """MOTChallenge."""
    (folder / "img1").mkdir(parents=True)
    (folder / "gt").mkdir()
    for i in range(1, length + 1):
        Image.fromarray(image(i)).save(folder / "img1" / f"{i:06d}.png")
    (folder / "gt" / "gt.txt").write_text("\n".join(truth) + "\n")
    keys = {
        "name": folder.name,
        "imDir": "img1",
        "frameRate": 25,
        "seqLength": length,
        "imWidth": W,
        "imHeight": H,
        "imExt": ".png",
    }
    (folder / "seqinfo.ini").write_text(
        "[Sequence]\n" + "".join(f"{k}={v}\n" for k, v in keys.items() if k not in lacking)
    )
    return folder


SQUARE = [4.0, 2.0, 12.0, 2.0, 12.0, 10.0, 4.0, 10.0]
RUNS = [H * 20 + 4, 8, H - 8, 8, H * (W - 22) + H - 12]  # two columns, rows 4 to 11, from column 20 on


def text_of(counts):
    """Run lengths as COCO's text, written another way round than they are read."""
    text = ""
    for i, count in enumerate(counts):
        value = count - (counts[i - 2] if i > 2 else 0)
        while True:
            bits, value = value & 31, value >> 5
            last = value == (-1 if bits & 16 else 0)
            text += chr(48 + bits + (0 if last else 32))
            if last:
                break
    return text


def annotations():
    """Twelve images: the first with a polygon, runs as numbers of a crowd, and runs as text; the others with none."""
    told = [
        {
            "id": 17,
            "image_id": 1,
            "category_id": 9,
            "bbox": [4, 2, 8, 8],
            "area": 64,
            "iscrowd": 0,
            "segmentation": [SQUARE],
        },
        {
            "id": 18,
            "image_id": 1,
            "category_id": 3,
            "bbox": [20, 4, 2, 8],
            "area": 16,
            "iscrowd": 1,
            "segmentation": {"size": [H, W], "counts": RUNS},
        },
        {
            "id": 19,
            "image_id": 1,
            "category_id": 3,
            "bbox": [20, 4, 2, 8],
            "area": 16,
            "iscrowd": 0,
            "segmentation": {"size": [H, W], "counts": text_of(RUNS)},
        },
    ]
    return {
        "images": [{"id": i, "file_name": f"{i}.png", "width": W, "height": H} for i in range(12, 0, -1)],
        "annotations": told,
        "categories": [{"id": 9, "name": "kite"}, {"id": 3, "name": "dog"}],
    }


def write_coco(folder, change=lambda told: told):
    """COCO: `images` and `instances.json`, changed."""
    (folder / "images").mkdir(parents=True)
    for i in range(1, 13):
        Image.fromarray(image(i)).save(folder / "images" / f"{i}.png")
    told = annotations()
    told = change(told) or told
    (folder / "instances.json").write_text(told if isinstance(told, str) else json.dumps(told))
    return str(folder / "images"), str(folder / "instances.json")
