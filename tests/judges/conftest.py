"""What the judges' tests share."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

import pytest

from tests.judges.authority import Authority
from tests.judges.command import Command
from tests.judges.mqtt_broker import MQTTBroker
from tests.judges.openssl import Client
from tests.judges.program import PATIENCE, Program
from tests.outside import find

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

P = TypeVar("P", bound=Program)

Connect: TypeAlias = Callable[..., Client]


CHROMIUM_FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--no-first-run",
)


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


@pytest.fixture(scope="module")
def lasting_broker(
    authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MQTTBroker]:
    """A broker that is reached in every way, for all tests of a module."""
    certificate = authority.server()
    path = tmp_path_factory.mktemp("mqtt") / "socket"
    binds = {
        "tcp": "tcp://127.0.0.1:0",
        "tls": f"tls://127.0.0.1:0?cert={certificate}",
        "ws": "ws://127.0.0.1:0/mqtt",
        "wss": f"wss://127.0.0.1:0/mqtt?cert={certificate}",
        "unix": f"unix:{path}",
    }
    with MQTTBroker(binds) as broker:
        yield broker


@pytest.fixture
def broker(lasting_broker: MQTTBroker) -> Iterator[MQTTBroker]:
    """The module's broker. No connection may fail but those whose failures the test takes."""
    yield lasting_broker
    assert lasting_broker.take_failures() == []


_numbers = count(1)


@pytest.fixture
def topic() -> str:
    """A topic of the test's own, which also serves as a client identifier."""
    return f"judged-{next(_numbers)}"


@pytest.fixture(scope="module")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """One browser for all tests, with an empty page.

    It comes from a file: a page of ``data:`` may not connect to this machine (Local Network Access,
    Chromium 142 and later).
    """
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    page = tmp_path_factory.mktemp("chromium") / "page.html"
    page.write_text("<title>judge</title>")
    options = ChromeOptions()
    options.binary_location = find("chromium") or ""
    for flag in CHROMIUM_FLAGS:
        options.add_argument(flag)
    driver = Chrome(options=options, service=Service(executable_path=find("chromedriver")))
    try:
        driver.set_script_timeout(PATIENCE)
        driver.get(page.as_uri())
        yield driver
    finally:
        driver.quit()


@pytest.fixture(autouse=True)
def log_level(caplog: pytest.LogCaptureFixture) -> None:
    """A server in the test's process logs what the command would log."""
    caplog.set_level(logging.INFO, "speedo_trio")
