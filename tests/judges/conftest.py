"""What the judges' tests share."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, Protocol, TypeAlias, TypeVar

import pytest

from tests.judges.authority import Authority
from tests.judges.command import Command
from tests.judges.openssl import Client
from tests.judges.program import Program

P = TypeVar("P", bound=Program)

Connect: TypeAlias = Callable[..., Client]


class Ends(Protocol):
    """Has a program end with the test: ``ends(Program("openssl", "version"))``."""

    def __call__(self, program: P, /) -> P: ...


@pytest.fixture
def ends() -> Iterator[Ends]:
    """Has programs end with the test."""
    with ExitStack() as programs:

        def ends(program: P, /) -> P:
            programs.enter_context(program)
            return program

        yield ends


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whom the clients trust."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whom nobody trusts."""
    return Authority(tmp_path_factory.mktemp("stranger"), "theirs")


@pytest.fixture
def connect(ends: Ends, authority: Authority) -> Connect:
    """Connects clients that trust the authority and insist on the name localhost."""

    def connect(server: Command, *options: str, **more: Any) -> Client:  # Any: what Popen takes
        trust = ("-CAfile", authority.file, "-verify_return_error", "-verify_hostname", "localhost")
        return ends(Client(server.port, *trust, *options, **more))

    return connect


@pytest.fixture(autouse=True)
def log_level(caplog: pytest.LogCaptureFixture) -> None:
    """A server in the test's process logs what the command would log."""
    caplog.set_level(logging.INFO, "speedo_trio")
