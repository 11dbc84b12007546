"""What the tests of the promises share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.promises.scene import Blocker


def pytest_configure(config: pytest.Config) -> None:
    """Know the mark of the tests that can run for long."""
    config.addinivalue_line("markers", "soak: runs long when SPEEDO_SOAK=1 is set, else briefly")


@pytest.fixture
def blocker() -> Iterator[Blocker]:
    """Blocks threads until the test is over."""
    blocker = Blocker()
    yield blocker
    blocker.free()


@pytest.fixture
def soak() -> bool:
    """Whether the long runs are asked for."""
    return os.environ.get("SPEEDO_SOAK") == "1"
