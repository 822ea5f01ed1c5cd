"""Caches that the tests of training share."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engine.training.worlds import random_cache, random_pairs
from workers.engine.specs.training import TRANSCODERS


@pytest.fixture(scope="session")
def cache(tmp_path_factory) -> Path:
    """For autoencoders."""
    return random_cache(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def cache_for(cache, tmp_path_factory) -> Callable[[str], Path]:
    """The cache that suits an architecture."""
    pairs = random_pairs(tmp_path_factory.mktemp("pairs"))
    return lambda architecture: pairs if architecture in TRANSCODERS else cache
