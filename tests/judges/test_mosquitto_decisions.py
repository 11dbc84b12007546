"""mosquitto's own password and ACL files: both brokers decide alike whatever is asked."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from random import Random

import pytest
import trio

from speedo_trio import serve
from speedo_trio.mqtt import MQTT, Security, SecuritySettings
from tests.judges.ports import held_port, wait_for_listener
from tests.judges.program import PATIENCE, Program
from tests.judges.questions import PASSWORDS, Asked, Question, make_acl, make_question
from tests.outside import find, need

need("mosquitto", "mosquitto_passwd")

FILES, QUESTIONS = 10, 100
"""So many ACL files, and questions for each."""
_CONFIG = """
user root
listener {port} 127.0.0.1
password_file {folder}/passwords
acl_file {folder}/acl
allow_anonymous true
"""


@pytest.fixture(scope="module")
def passwords(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A password file as mosquitto_passwd makes it, with lines of both kinds."""
    path = tmp_path_factory.mktemp("passwords") / "passwords"
    path.touch(0o600)
    for number, (name, password) in enumerate(PASSWORDS.items()):
        kind = ("sha512", "sha512-pbkdf2")[number % 2]
        words = (find("mosquitto_passwd") or "", "-H", kind, "-b", str(path), name, password)
        subprocess.run(words, check=True, timeout=PATIENCE, capture_output=True)
    return path.read_text()


@contextmanager
def mosquitto(folder: Path) -> Iterator[int]:
    """mosquitto with the folder's files; its port."""
    with held_port() as port:
        config = folder / "mosquitto.conf"
        config.write_text(_CONFIG.format(port=port, folder=folder))
        with Program("mosquitto", "-c", str(config)):
            wait_for_listener(port)
            yield port


@asynccontextmanager
async def ours(folder: Path) -> AsyncIterator[int]:
    """The broker with the same files; its port."""
    settings = SecuritySettings(
        password_file=str(folder / "passwords"),
        acl_file=str(folder / "acl"),
        allow_anonymous="always",
        failed_logins=None,
    )
    async with trio.open_nursery() as nursery:
        mqtt = MQTT(hooks=Security(settings).hooks)
        server = await nursery.start(serve, mqtt, "tcp://127.0.0.1:0")
        yield server.addresses[0].port
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("seed", range(FILES))
async def test_both_decide_alike(seed: int, tmp_path: Path, passwords: str) -> None:
    """Who may connect, publish, subscribe and get what: a thousand questions by chance."""
    seed += int(os.environ.get("SPEEDO_SEED", "0"))
    chance = Random(seed)
    acl = make_acl(chance)
    (tmp_path / "passwords").write_text(passwords)
    (tmp_path / "acl").write_text(acl)
    differ: list[tuple[Question, bool]] = []
    allowed = 0
    with mosquitto(tmp_path) as theirs:
        async with ours(tmp_path) as port, Asked(theirs) as judge, Asked(port) as judged:
            for _ in range(QUESTIONS):
                question = make_question(chance)
                expected = await judge.ask(question)
                allowed += expected
                if await judged.ask(question) is not expected:
                    differ.append((question, expected))

    assert differ == [], f"seed {seed}:\n{acl}"
    assert 0 < allowed < QUESTIONS, f"seed {seed} asks nothing of interest:\n{acl}"


@pytest.mark.parametrize("seed", range(3))
async def test_what_is_imported_decides_alike(seed: int, tmp_path: Path, passwords: str) -> None:
    """The command with mosquitto's configuration translated is asked the same."""
    chance = Random(1000 + seed)
    (tmp_path / "passwords").write_text(passwords)
    (tmp_path / "acl").write_text(make_acl(chance))
    differ: list[tuple[Question, bool]] = []
    with mosquitto(tmp_path) as theirs, held_port() as port:
        other = tmp_path / "other.conf"
        other.write_text(_CONFIG.format(port=port, folder=tmp_path))
        words = (sys.executable, "-m", "speedo_trio")
        toml = str(tmp_path / "server.toml")
        with Program(*words, "mqtt", "import-mosquitto", str(other), "-o", toml) as translating:
            assert translating.end() == 0, translating.text
        loose = ("--mqtt.security.failed-logins", "none")  # there is no such limit in mosquitto
        with Program(*words, "serve", "--config", toml, *loose):
            wait_for_listener(port)
            async with Asked(theirs) as judge, Asked(port) as judged:
                for _ in range(50):
                    question = make_question(chance)
                    expected = await judge.ask(question)
                    if await judged.ask(question) is not expected:
                        differ.append((question, expected))

    assert differ == []
