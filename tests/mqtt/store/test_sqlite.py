"""The store in SQLite: what it opens and what it refuses, batches, portions, what it removes."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from speedo_trio.errors import ConfigError, StoreError
from speedo_trio.mqtt.state.publication import MQTTPublication
from speedo_trio.mqtt.store import schema
from speedo_trio.mqtt.store.batch import Batch
from speedo_trio.mqtt.store.contract import Removed, Swept
from speedo_trio.mqtt.store.records import (
    IDENTIFIERS,
    ROWS,
    MessageRecord,
    SessionRecord,
    SubscriptionRecord,
    Waiting,
)
from speedo_trio.mqtt.store.sqlite import SQLiteStore
from speedo_trio.mqtt.wire.properties import Properties


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where there is nothing yet."""
    return tmp_path / "mqtt.db"


def session(number: int, name: str = "") -> SessionRecord:
    """A session of a client that is away."""
    return SessionRecord(
        number, name or f"c{number}", 10, False, None, None, None, None
    )  # a record


def batch(number: int = 1) -> Batch:
    """One session with three messages, one of them in flight."""
    made = Batch(number)
    made.sessions[1] = session(1)
    made.subscriptions[1, b"a"] = SubscriptionRecord(1, b"a", 1, True, False, 7)  # a record
    for each in (1, 2, 3):
        publication = MQTTPublication(b"a", b"%d" % each, 1)
        publication.number = each
        made.messages[each] = publication
        row = (ROWS + each, each, 9 if each == 1 else 0, 1, 2, None, None)
        made.inserted[ROWS + each] = row
    made.held.add(IDENTIFIERS + 5)
    made.retained[b"r"] = MessageRecord(0, b"r", b"x", 1, True, None, "p", 5.0, None)  # a record
    return made


def filled(path: Path) -> None:
    """A store with a batch."""
    store = SQLiteStore(path)
    store.open()
    store.commit(batch())
    store.close()


def test_a_batch_comes_back(path: Path) -> None:
    """All that was in it is in the image, but for bodies, which come in portions."""
    filled(path)
    store = SQLiteStore(path)
    image = store.open()
    fetched = store.fetch(1, 0, 10, 1000)
    bodies = store.bodies([1, 9])
    store.close()

    assert image.sessions == [session(1)]
    assert image.subscriptions == [SubscriptionRecord(1, b"a", 1, True, False, 7)]  # a record
    assert [row[:3] for row in image.flights] == [(ROWS + 1, 1, 9)]
    assert image.waiting == {1: Waiting(2, 4)}
    assert image.last_rows == {1: 3}
    assert image.held == [IDENTIFIERS + 5]
    assert image.retained == [batch().retained[b"r"]]
    assert image.last_message == 3
    assert [each.message.payload for each in fetched] == [b"2", b"3"]
    assert [each.payload for each in bodies] == [b"1"]


def test_a_portion_has_a_bound(path: Path) -> None:
    """By rows, by bytes, and behind a row."""
    filled(path)
    store = SQLiteStore(path)
    store.open()

    assert [each.row[0] - ROWS for each in store.fetch(1, 0, 1, 1000)] == [2]
    assert [each.row[0] - ROWS for each in store.fetch(1, 0, 10, 1)] == [2]
    assert [each.row[0] - ROWS for each in store.fetch(1, 2, 10, 1000)] == [3]
    store.close()


def test_a_session_that_ends_gives_its_orphans(path: Path) -> None:
    """Rows of which only the store knew; their messages are forgotten, now or at the next start."""
    filled(path)
    store = SQLiteStore(path)
    store.open()
    end = Batch(1)
    end.ended.append(1)
    end.spilled.add(1)
    assert store.commit(end) == Removed(messages=[1, 2, 3])
    store.close()
    image = store.open()
    bodies = store.bodies([1, 2, 3])
    store.close()

    assert (image.sessions, image.subscriptions, image.held, bodies) == ([], [], [], [])


def test_what_has_expired_is_removed_when_asked(path: Path) -> None:
    """Behind a row, of a session; not what is in flight. The bodies are forgotten later."""
    made = batch()
    for number, seconds in ((1, 1), (2, 1), (3, 1), (4, 1), (5, 1000)):
        properties = Properties(message_expiry_interval=seconds)
        expiring = MQTTPublication(b"a", b"x", 1, properties=properties)
        expiring.number = number
        made.messages[number] = expiring
        packet = 9 if number == 4 else 0
        made.inserted[ROWS + number] = (ROWS + number, number, packet, 1, 2, None, None)
    made.drift = began = time.time() - 100
    sweep = Batch(2)
    sweep.swept[1] = 1
    store = SQLiteStore(path)
    store.open()
    store.commit(made)
    removed = store.commit(sweep)
    bodies = store.bodies([2, 3])
    store.close()
    image = store.open()
    left = store.bodies([1, 2, 3, 4, 5])
    store.close()

    assert removed == Removed(messages=[2, 3], swept={1: Swept(2, 4)}, soonest=began + 1000)
    assert [each.number for each in bodies] == [2, 3]
    assert [each.number for each in left] == [4, 5]
    assert (image.waiting, image.soonest) == ({1: Waiting(1, 2)}, began + 1)


def test_what_has_expired_is_removed_at_the_start(path: Path) -> None:
    """Messages that wait and retained ones; not what is in flight."""
    made = batch()
    for number in (1, 2):
        expiring = MQTTPublication(b"a", b"x", 1, properties=Properties(message_expiry_interval=1))
        expiring.number = number
        made.messages[number] = expiring
    made.retained[b"r"] = made.retained[b"r"]._replace(expires=time.time() - 1)  # type: ignore[union-attr]  # there is one
    store = SQLiteStore(path)
    store.open()
    store.commit(made)
    store.close()
    image = store.open()
    bodies = store.bodies([1, 2, 3])
    store.close()

    assert image.retained == []
    assert image.waiting == {1: Waiting(1, 2)}
    assert [each.number for each in bodies] == [1, 3]


def test_a_batch_that_fails_changes_nothing(path: Path) -> None:
    """It comes again, and then it is written."""
    store = SQLiteStore(path, maximum_bytes=1_048_576)
    store.open()
    large = batch()
    large.messages[1] = MQTTPublication(b"a", bytes(2_000_000), 1)
    for _ in range(2):
        with pytest.raises(StoreError, match="full"):
            store.commit(large)
    store.commit(batch())
    store.close()

    assert store.open().waiting == {1: Waiting(2, 4)}
    store.close()


def test_the_file_is_its_owners(path: Path) -> None:
    """Nobody else may read what was published."""
    filled(path)

    assert {stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()} == {0o600}


def test_one_process_has_it(path: Path) -> None:
    """A second one is told so; when the first has ended, however, it is free."""
    program = (
        "import os, sys; from speedo_trio.mqtt import SQLiteStore; "
        "SQLiteStore(sys.argv[1]).open(); print('open', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(StoreError, match="in use by another process"):
            SQLiteStore(path).open()
        other.kill()
        other.wait()
    store = SQLiteStore(path)
    store.open()
    store.close()


def damage(path: Path) -> None:
    """A page of it is overwritten."""
    data = bytearray(path.read_bytes())
    data[4096 * 3 : 4096 * 4] = b"\xff" * 4096
    path.write_bytes(data)


def truncate(path: Path) -> None:
    """The end of it is missing."""
    path.write_bytes(path.read_bytes()[: 4096 * 2])


def become_text(path: Path) -> None:
    """It was a text all along."""
    path.write_text("these are somebody's notes")


def become_newer(path: Path) -> None:
    """A later program has used it."""
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.close()


def become_foreign(path: Path) -> None:
    """It is of SQLite, and another program's."""
    path.unlink()
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE mine (a)")
    database.close()


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (damage, "damage"),
        (truncate, "damage"),
        (become_text, "no file of SQLite"),
        (become_newer, "version 99"),
        (become_foreign, "another program"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_what_is_no_store_is_refused_and_left_as_it_is(path: Path, spoil, text: str) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001  # one of the above
    """The text names the file and says why; not a byte of it has changed."""
    filled(path)
    spoil(path)
    before = path.read_bytes()

    with pytest.raises(StoreError, match=text) as caught:
        SQLiteStore(path).open()
    assert str(path) in str(caught.value)
    assert "not changed" in str(caught.value)
    assert path.read_bytes() == before
    assert not Path(f"{path}-wal").exists()


def test_an_empty_file_becomes_a_store(path: Path) -> None:
    """As one that was killed before it had made its tables leaves."""
    path.touch()
    filled(path)


def test_an_older_file_is_brought(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By one step after another, each all or nothing."""
    filled(path)
    monkeypatch.setattr(schema, "VERSION", 4)
    monkeypatch.setattr(
        schema, "MIGRATIONS", {2: "CREATE TABLE two (a);", 3: "INSERT INTO two VALUES (2);"}
    )
    store = SQLiteStore(path)
    assert store.open().waiting == {1: Waiting(2, 4)}
    store.close()
    database = sqlite3.connect(path)

    assert database.execute("PRAGMA user_version").fetchone() == (4,)
    assert database.execute("SELECT a FROM two").fetchone() == (2,)
    database.close()


def test_version_1(path: Path) -> None:
    """It didn't say who clients are."""
    filled(path)
    with closing(sqlite3.connect(path)) as database:
        database.execute("ALTER TABLE session DROP COLUMN passport")
        database.execute("PRAGMA user_version = 1")
    store = SQLiteStore(path)
    assert store.open().sessions == [session(1)]
    store.close()


@pytest.mark.parametrize("given", [{"durability": "hope"}, {"maximum_bytes": 5}])
def test_settings_are_checked(path: Path, given: dict[str, object]) -> None:
    """Before anything is opened."""
    with pytest.raises(ConfigError, match="allowed"):
        SQLiteStore(path, **given)  # type: ignore[arg-type]  # that is the test
    assert not path.exists()


def test_a_folder_must_be_there(tmp_path: Path) -> None:
    """It is told which is missing."""
    with pytest.raises(StoreError, match="nowhere"):
        SQLiteStore(tmp_path / "nowhere" / "mqtt.db").open()


def test_a_large_store_opens_soon(path: Path) -> None:
    """What waits is counted, not read: 100,000 messages in less than a second, here in five."""
    store = SQLiteStore(path)
    store.open()
    count = 100_000
    for first in range(0, count, 10_000):
        made = Batch(1)
        made.sessions[1] = session(1)
        for number in range(first + 1, first + 10_001):
            publication = MQTTPublication(b"a", b"x" * 100, 1)
            made.messages[number] = publication
            made.inserted[ROWS + number] = (ROWS + number, number, 0, 1, 101, None, None)
        store.commit(made)
    store.close()
    began = time.monotonic()
    image = store.open()
    store.close()

    assert image.waiting == {1: Waiting(count, count * 101)}
    assert time.monotonic() - began < 5
