"""QM9: small molecules and what quantum chemistry computes of them, from TensorFlow Datasets' builder."""

import dataclasses
import importlib.util
import os
import pathlib
from collections.abc import Mapping
from typing import Any, SupportsIndex

import numpy as np

from mtljax.data.dataset import Example, Source, checked_split
from mtljax.data.meanings import Meaning
from mtljax.data.quiet import quiet_tfds
from mtljax.data.reading.raw_records import versions_in
from mtljax.data.reading.records import read_record
from mtljax.data.sources.tfds import prepared
from mtljax.errors import UserError

_NAME = "qm9/dimenet"
_SPLITS = ("train", "validation", "test")
_HARTREE = 27211.386245988  # meV (CODATA 2018)
# Our label -> the feature stored, what it is multiplied by, and the unit.
_TARGETS: Mapping[str, tuple[str, float, str]] = {
    "mu": ("mu", 1.0, "debye"),
    "alpha": ("alpha", 1.0, "bohr^3"),
    "homo": ("homo", _HARTREE, "meV"),
    "lumo": ("lumo", _HARTREE, "meV"),
    "r2": ("r2", 1.0, "bohr^2"),
    "zpve": ("zpve", _HARTREE, "meV"),
    "U0": ("U0_atomization", _HARTREE, "meV"),
    "U": ("U_atomization", _HARTREE, "meV"),
    "H": ("H_atomization", _HARTREE, "meV"),
    "G": ("G_atomization", _HARTREE, "meV"),
    "cv": ("Cv", 1.0, "cal/(mol K)"),
}


@dataclasses.dataclass(frozen=True)
class Qm9:
    """See `qm9`."""

    data_dir: str | None = None

    @property
    def name(self) -> str:
        """For messages and tables."""
        return "qm9"

    @property
    def meanings(self) -> dict[str, Meaning]:
        """What labels mean."""
        return {label: f"{label} in {unit}" for label, (_, _, unit) in _TARGETS.items()}

    def split(self, name: str) -> Source:
        """The molecules of `train` (110,000), `validation` (10,000) or `test` (10,831).

        Raises:
            UserError: for an unknown split, or data that is not prepared and cannot be.
        """
        checked_split(self.name, name, _SPLITS)
        with quiet_tfds():
            return MoleculeSource(_builder(self.data_dir).as_data_source(name))


def qm9(data_dir: str | None = None) -> Qm9:
    """The 130,831 small molecules of QM9 with the eleven targets of multi-task papers, a label each.

    An example has `inputs`, no image: `numbers` (29,) int32, the protons of each atom, 0 where there is none, and
    `positions` (29, 3) float32 in angstrom. Labels are float32: `mu` (debye), `alpha` (bohr^3), `homo`, `lumo` (meV),
    `r2` (bohr^2), `zpve`, `U0`, `U`, `H`, `G` (meV), `cv` (cal/(mol K)); the four energies are of atomisation, as
    the tables have them: those of the atoms alone are subtracted.

    TensorFlow Datasets' builder `qm9/dimenet` splits 110,000, 10,000 and 10,831, shuffled by a seed of DimeNet's. To
    prepare it, it wants pandas; to read what is prepared, nothing but TFDS.

    Args:
        data_dir: where TFDS keeps its data; default: `TFDS_DATA_DIR` or `~/tensorflow_datasets`.

    Returns:
        A data set with the splits `train`, `validation` and `test`.

    References:
        Ramakrishnan et al., Quantum chemistry structures and properties of 134 kilo molecules, Scientific Data 2014.

    Example:
        >>> qm9().meanings["homo"]
        'homo in meV'
    """
    return Qm9(data_dir)


def _builder(data_dir: str | None) -> Any:
    """The builder of what is prepared, without its code, which imports pandas; else that which prepares."""
    import tensorflow_datasets

    folder = pathlib.Path(data_dir or os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")).expanduser()
    there = [version for version in versions_in(folder / _NAME) if (version / "dataset_info.json").exists()]
    if there:
        return tensorflow_datasets.builder_from_directory(str(there[-1]))
    if importlib.util.find_spec("pandas") is None:
        raise UserError(
            f"TFDS data set {_NAME!r} is not prepared in {str(folder)!r}, and to prepare it TFDS wants pandas: pip "
            "install pandas, or copy the folder from where it is prepared."
        )
    return prepared(_NAME, data_dir)


@dataclasses.dataclass(frozen=True)
class MoleculeSource:
    """Molecules by index.

    Attributes:
        records: the TFDS data source.
    """

    records: Any

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: SupportsIndex) -> Example:
        record = read_record(self.records, int(index))
        try:
            example: Example = {
                "inputs": {
                    "numbers": np.asarray(record["charges"], np.int32),
                    "positions": np.asarray(record["positions"], np.float32),
                }
            }
            for label, (feature, factor, _) in _TARGETS.items():
                value = float(record[feature]) * factor
                example[label] = np.float32(value if np.isfinite(value) else 0.0)
                example[f"{label}_valid"] = np.bool_(np.isfinite(value))
        except KeyError as error:
            raise UserError(f"TFDS data set qm9, example {int(index)}: no feature {error}.") from None
        return example
