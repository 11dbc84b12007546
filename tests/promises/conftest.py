"""What the tests of the promises share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.promises.scene import Blocker


@pytest.fixture
def blocker() -> Iterator[Blocker]:
    """Blocks threads until the test is over."""
    blocker = Blocker()
    yield blocker
    blocker.free()
