"""The made comparison of the golden figures, as the figures of a report take it."""

import json

import pytest


@pytest.fixture(scope="session")
def small(shared):
    """Golden figures of made runs."""
    return json.loads((shared / "golden" / "relations" / "small.json").read_text())


@pytest.fixture(scope="session")
def seeds(small):
    """Golden figures of a made comparison."""
    return small["seeds"]


@pytest.fixture(scope="session")
def runs(seeds):
    """Its runs: method -> seed -> figures."""
    return {
        method: {seed: dict(zip(seeds["metrics"], row, strict=True)) for seed, row in enumerate(rows)}
        for method, rows in seeds["runs"].items()
    }
