"""What the judges' tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TypeAlias, TypeVar

import pytest

from tests.judges.authority import Authority
from tests.judges.program import Program

P = TypeVar("P", bound=Program)

Ends: TypeAlias = Callable[[P], P]


@pytest.fixture
def ends() -> Iterator[Callable[[P], P]]:
    """Has a program end with the test: ``ends(Program("openssl", "version"))``."""
    with ExitStack() as programs:
        yield programs.enter_context


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whom the clients trust."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whom nobody trusts."""
    return Authority(tmp_path_factory.mktemp("stranger"), "theirs")
