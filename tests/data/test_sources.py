"""One guess: a data set that a config names stands in the file of that name."""

from mtljax.data import SOURCES, augment


def test_a_source_stands_where_its_name_says():
    for name, source in SOURCES.items():
        assert name in source.__module__.split(".")[2:], f"{name} stands in {source.__module__}"
        assert source.__name__ == name


def test_an_augmentation_stands_where_its_name_says():
    for name in set(augment.__all__) - {"Augmentation"}:
        assert getattr(augment, name).__module__ == f"mtljax.data.augment.{name}"
