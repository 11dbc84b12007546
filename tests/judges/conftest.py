"""What the judges' tests share."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TypeAlias, TypeVar

import pytest

from tests.judges.authority import Authority
from tests.judges.command import Command
from tests.judges.openssl import Client
from tests.judges.program import Program

P = TypeVar("P", bound=Program)

Connect: TypeAlias = Callable[..., Client]


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


@pytest.fixture
def connect(ends: Callable[[Client], Client], authority: Authority) -> Connect:
    """Connects clients that trust the authority and insist on the name localhost."""

    def connect(server: Command, *options: str) -> Client:
        trust = ("-CAfile", authority.file, "-verify_return_error", "-verify_hostname", "localhost")
        return ends(Client(server.port, *trust, *options))

    return connect


@pytest.fixture(autouse=True)
def log_level(caplog: pytest.LogCaptureFixture) -> None:
    """A server in the test's process logs what the command would log."""
    caplog.set_level(logging.INFO, "speedo_trio")
