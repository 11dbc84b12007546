"""``trio-speedo mqtt``: what is in a store is listed, copied out, put back and removed."""

from __future__ import annotations

import io
import signal
from pathlib import Path

import pytest

from speedo_trio.cli.app import run
from speedo_trio.mqtt.store.contract import Image
from speedo_trio.mqtt.store.records import Waiting
from speedo_trio.mqtt.store.sqlite import SQLiteStore
from tests.cli.conftest import Start
from tests.mqtt.store.test_sqlite import batch


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A store with a session and a retained message."""
    path = tmp_path / "mqtt.db"
    store = SQLiteStore(path)
    store.open()
    store.commit(batch())
    store.close()
    return str(path)


def image_of(path: str) -> Image:
    """What is in it."""
    store = SQLiteStore(path)
    image = store.open()
    store.close()
    return image


def test_list(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each session and each retained message."""
    assert run(["mqtt", "list", path]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "session c1: a; 3 messages of 6 bytes waiting",
        "retained r, 1 byte",
    ]


def test_list_while_it_is_in_use(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A broker that serves is no hindrance."""
    store = SQLiteStore(path)
    store.open()
    assert run(["mqtt", "list", path]) == 0
    assert run(["mqtt", "export", path]) == 0
    assert run(["mqtt", "purge", path, "--session", "c1"]) == 1
    store.close()


def test_what_is_exported_can_be_imported(
    path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Into a new store it is the same; into the same one it changes nothing."""
    assert run(["mqtt", "export", path]) == 0
    exported = capsys.readouterr().out
    other = str(tmp_path / "other.db")
    for count in (2, 0):
        monkeypatch.setattr("sys.stdin", io.StringIO(exported))
        assert run(["mqtt", "import", other]) == 0
        assert capsys.readouterr().out.startswith(f"{count} session")
    assert image_of(other) == image_of(path)
    monkeypatch.setattr("sys.stdin", io.StringIO(exported))
    assert run(["mqtt", "import", other, "--replace"]) == 0
    assert image_of(other).waiting == {2: Waiting(2, 4)}


def test_what_is_no_export_changes_nothing(
    path: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even the lines before it."""
    assert run(["mqtt", "export", path]) == 0
    first = capsys.readouterr().out.splitlines()[:2]
    before = image_of(path)
    text = "\n".join([*first, '{"kind":"session"}'])
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert run(["mqtt", "import", path, "--replace"]) == 1
    assert "line 3" in capsys.readouterr().err
    assert image_of(path) == before


def test_purge(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Sessions with their messages, and retained messages by a filter."""
    assert run(["mqtt", "purge", path, "--session", "c1", "--retained", "+"]) == 0
    assert capsys.readouterr().out == "1 session and 1 retained message removed\n"
    image = image_of(path)

    assert (image.sessions, image.waiting, image.retained, image.last_message) == ([], {}, [], 0)


@pytest.mark.parametrize("words", [[], ["--retained", "a/#/b"]])
def test_mistakes(path: str, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing to purge, and a filter that is none."""
    assert run(["mqtt", "purge", path, *words]) == 2
    assert "allowed" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["list", "export", "purge"])
def test_there_must_be_one(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Only import makes a store."""
    words = ["--session", "c"] if name == "purge" else []
    assert run(["mqtt", name, "nowhere.db", *words]) == 1
    assert "nowhere.db is not there" in capsys.readouterr().err


def test_a_store_that_cannot_be_used_is_told(start: Start) -> None:
    """Nothing is served then, and the exit status is that of what can't begin."""
    Path("notes").write_text("these are somebody's notes")

    status, out, err = start(
        "serve", "mqtt", "--bind", "tcp://:0", "--mqtt.store.path", "notes"
    ).end()

    assert (status, out) == (1, "")
    assert err.startswith("trio-speedo: notes is no file of SQLite, or a damaged one; allowed is")
    assert Path("notes").read_text() == "these are somebody's notes"


def test_a_bind_that_cannot_be_listened_on_leaves_the_store(start: Start, path: str) -> None:
    """It is closed, and free for the next."""
    status, _, _ = start(
        "serve", "mqtt", "--bind", "unix:/nowhere/x", "--mqtt.store.path", path
    ).end()

    assert status == 1
    assert image_of(path).waiting == {1: Waiting(2, 4)}


STORED = """
protocol = "{protocol}"
bind = ["tcp://127.0.0.1:0"]
also = ["{also}=tcp://127.0.0.1:0"]
[mqtt]
sys_interval = 0
[mqtt.store]
path = "mqtt.db"
durability = "power"
"""


@pytest.mark.parametrize(("protocol", "also"), [("mqtt", "echo"), ("echo", "mqtt")])
def test_the_store_of_a_file(start: Start, protocol: str, also: str) -> None:
    """MQTT has it whether it is served first or beside; a reload doesn't open it again."""
    Path("server.toml").write_text(STORED.format(protocol=protocol, also=also))
    process = start("serve", "--config", "server.toml")
    process.port()
    process.port()
    busy, _, said = start(
        "serve", "mqtt", "--bind", "tcp://:0", "--mqtt.store.path", "mqtt.db"
    ).end()
    text = Path("server.toml").read_text()
    Path("server.toml").write_text(text.replace("power", "process").replace("mqtt.db", "new.db"))
    process.send(signal.SIGHUP)
    assert process.popen.stderr is not None
    told = [process.popen.stderr.readline() for _ in range(2)]
    process.send(signal.SIGTERM)
    status, _, _ = process.end()

    assert (busy, status) == (1, 0)
    assert "mqtt.db" in said
    assert "nothing changed" in told[0]
    assert "mqtt.store.path, mqtt.store.durability changed: need a restart" in told[1]
    assert not Path("new.db").exists()
