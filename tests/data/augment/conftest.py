"""The clips that augmentations are tried on; no test changes them."""

import pytest

from tests.data.augment.clips import made


@pytest.fixture(scope="session")
def clips():
    return [made(index) for index in range(3)]
