"""UCI Adult: people of a census, with two things to tell of each."""

import dataclasses
import functools
import pathlib
from typing import SupportsIndex

import numpy as np

from mtljax.data.dataset import Example, Source, checked_split
from mtljax.data.meanings import Meaning
from mtljax.data.reading.text import finite
from mtljax.errors import UserError

_COLUMNS = (
    "age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation", "relationship",
    "race", "sex", "capital-gain", "capital-loss", "hours-per-week", "native-country", "income",
)  # fmt: skip
_NUMBERS = ("age", "education-num", "capital-gain", "capital-loss", "hours-per-week")
_CATEGORIES = ("workclass", "education", "occupation", "relationship", "race", "sex", "native-country")
_INCOMES = {"<=50K": 0, ">50K": 1}
_TRAIN, _TEST = "adult.data", "adult.test"
_HELD_OUT = 5  # where there is no adult.test, the last of so many parts is held out

Table = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Adult:
    """See `adult`."""

    path: pathlib.Path

    @property
    def name(self) -> str:
        """For messages and tables."""
        return f"adult/{self.path.name}"

    @property
    def meanings(self) -> dict[str, Meaning]:
        """What labels mean."""
        return {"income": tuple(_INCOMES), "marital": ("married or married before", "never married")}

    def split(self, name: str) -> Source:
        """The people of `train` or `validation`.

        Raises:
            UserError: for an unknown split, or a file that is missing or damaged.
        """
        checked_split(self.name, name)
        train, validation = _tables(self.path)
        people = train if name == "train" else validation
        return AdultSource(_features(people, train), people["income"] == 1, people["marital-status"] == "Never-married")


def adult(path: str) -> Adult:
    """People of the 1994 census of the USA: `income` (1 above 50 000 dollars a year), `marital` (1 never married).

    An example's `image` is a vector (F,) float32: five numbers (age, years of education, capital gain and loss, hours
    a week) less their mean over their standard deviation in the training split, and seven categories one-hot, `?`
    among them; a category that the training split does not have is all zeros. The census weight (fnlwgt) is left out.

    Args:
        path: of a folder with `adult.data` of the UCI Machine Learning Repository. `adult.test` beside it is the
            validation split; or else the last fifth of `adult.data` is.

    Returns:
        A data set with the splits `train` and `validation`.

    References:
        Becker and Kohavi, Adult, UCI Machine Learning Repository 1996. The two tasks: Ma et al., Modeling Task
        Relationships in Multi-task Learning with Multi-gate Mixture-of-Experts, KDD 2018, section 5.1 (on the census
        data that Adult was taken from).

    Example:
        >>> adult("data/adult").name
        'adult/adult'
    """
    return Adult(pathlib.Path(path).expanduser())


@dataclasses.dataclass(frozen=True)
class AdultSource:
    """People by index.

    Attributes:
        features: (N, F) float32.
        income: (N,) bool.
        never_married: (N,) bool.
    """

    features: np.ndarray
    income: np.ndarray
    never_married: np.ndarray

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, index: SupportsIndex) -> Example:
        valid = np.array(True)
        return {
            "image": self.features[index],
            "income": np.int32(self.income[index]),
            "income_valid": valid,
            "marital": np.int32(self.never_married[index]),
            "marital_valid": valid,
        }


def _features(people: Table, train: Table) -> np.ndarray:
    columns = []
    for name in _NUMBERS:
        spread = train[name].std() or 1.0
        columns.append(((people[name] - train[name].mean()) / spread)[:, None])
    columns += [people[name][:, None] == np.unique(train[name]) for name in _CATEGORIES]
    return np.concatenate(columns, axis=1).astype(np.float32)


@functools.lru_cache(maxsize=4)
def _tables(path: pathlib.Path) -> tuple[Table, Table]:
    """The columns of the training and of the validation split."""
    if not (path / _TRAIN).is_file():
        raise UserError(f"Adult folder {str(path)!r} does not exist or lacks {_TRAIN}.")
    train = _read(path / _TRAIN)
    if (path / _TEST).is_file():
        return train, _read(path / _TEST)
    held_out = len(train["age"]) // _HELD_OUT
    if held_out == 0:
        raise UserError(f"{str(path / _TRAIN)!r} holds {len(train['age'])} people: too few to hold some out.")
    return {k: v[:-held_out] for k, v in train.items()}, {k: v[-held_out:] for k, v in train.items()}


def _read(file: pathlib.Path) -> Table:
    try:
        lines = file.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{str(file)!r} cannot be read: {error}.") from error
    rows = []
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.startswith("|"):  # adult.test begins with a remark
            rows.append(_row(line, f"{str(file)!r}, line {number}"))
    if not rows:
        raise UserError(f"{str(file)!r} holds no people.")
    return {name: np.array(column) for name, column in zip(_COLUMNS, zip(*rows, strict=True), strict=True)}


def _row(line: str, where: str) -> list[str | float]:
    values = [value.strip() for value in line.split(",")]
    if len(values) != len(_COLUMNS):
        raise UserError(f"{where}: {len(values)} values; expected {len(_COLUMNS)}, with commas between them.")
    row: list[str | float] = []
    for name, value in zip(_COLUMNS, values, strict=True):
        if name in _NUMBERS:
            try:
                row.append(finite(value))
            except ValueError:
                raise UserError(f"{where}: {name} is {value!r}; expected a number, finite.") from None
        elif name == "income":
            income = value.rstrip(".")  # adult.test ends its lines with one
            if income not in _INCOMES:
                raise UserError(f"{where}: income is {value!r}; expected {' or '.join(_INCOMES)}.")
            row.append(_INCOMES[income])
        else:
            row.append(value)
    return row
