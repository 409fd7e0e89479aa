"""What reading a table of pictures costs beside `rgbd`, which decodes the same pictures: images a second of each.

python benchmarks/tables.py PATH_OF_THE_FOLDER

The folder is one that `rgbd` reads. Of both the training batches are read on one thread: of `rgbd` those of the first
time through, when nothing is kept, with its labels, which it computes; of the table with a number for each picture.
"""

import argparse
import csv
import pathlib
import tempfile
import time
from typing import Any

import machine

from mtljax import data
from mtljax.data import pipeline

BATCH, TIMES = 16, 3


def rate(source: Any) -> float:
    """Images a second, of the whole split once, on one thread."""
    batches = pipeline.train_batches(source, BATCH, 0, num_threads=1)
    number, begin = len(source) // BATCH, time.perf_counter()
    for _ in range(number):
        next(batches)
    found = number * BATCH / (time.perf_counter() - begin)
    batches.close()
    return found


def table_of(folder: pathlib.Path, file: pathlib.Path) -> Any:
    """The colour pictures of a folder as a table with a number for each."""
    names = sorted(path.name for path in folder.iterdir() if ".color." in path.name)
    with open(file, "w", newline="") as opened:
        csv.writer(opened).writerows([("file", "number"), *((name, i) for i, name in enumerate(names))])
    return data.from_table(str(file), images=str(folder), labels={"number": float})


def main() -> None:
    """Prints both rates and their ratio, the best of some times in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    folder = parser.parse_args().folder
    rates: dict[str, list[float]] = {"rgbd": [], "from_table": []}
    with tempfile.TemporaryDirectory() as made:
        table = table_of(folder, pathlib.Path(made, "labels.csv"))
        for _ in range(TIMES):
            rates["rgbd"].append(rate(data.rgbd(str(folder), cache_mb=1).split("train")))
            rates["from_table"].append(rate(table.split("train")))
    best = {name: max(found) for name, found in rates.items()}
    print(machine.described())
    for name, found in best.items():
        print(f"{name:<12}{found:>8.0f} images/s")
    print(f"from_table / rgbd: {best['from_table'] / best['rgbd']:.2f}")


if __name__ == "__main__":
    main()
