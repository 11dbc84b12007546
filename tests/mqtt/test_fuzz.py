"""The fuzzer, for a moment; that it finds what is wrong, and finds it again."""

from __future__ import annotations

import re
from typing import Any

import pytest

from speedo_trio.errors import MQTTError
from speedo_trio.mqtt.handler import MQTTHandler
from speedo_trio.mqtt.hub import BrokerHub
from speedo_trio.mqtt.state.publication import MQTTPublication
from speedo_trio.mqtt.state.sessions import Sessions
from speedo_trio.mqtt.wire.reader import PacketReader
from speedo_trio.mqtt.wire.versions import Version
from tests.mqtt.fuzz.corpus import connects, ends, requests
from tests.mqtt.fuzz.rounds import ORDER, Failed, Hang, Round
from tests.mqtt.fuzz.run import Tally
from tests.mqtt.fuzz.streams import Streams
from tests.mqtt.fuzz.worlds import VARIANTS
from tests.mqtt.wire.streams import outcome

SEED = 5


@pytest.mark.parametrize("number", range(len(ORDER)))
def test_a_thousand_streams(number: int) -> None:
    """Nothing comes of them but what the protocol says; `python -m tests.mqtt.fuzz` has more."""
    Round(SEED, number).run()


def test_all_kinds_of_brokers_have_their_turn() -> None:
    """In the rounds above."""
    assert VARIANTS.keys() == {*ORDER}


@pytest.mark.parametrize("version", Version)
def test_the_corpus_is_allowed(version: Version) -> None:
    """So what is wrong with a stream is what was done to it."""
    for connect in connects(version):
        data = b"".join((connect, *requests(version), *ends(version)))
        got = outcome(PacketReader(), [data])
        assert (None, 0) == (got.error, got.buffered)


def test_streams_differ_and_come_again() -> None:
    """From the same seed the same ones, and few twice."""
    one, other = Streams("1"), Streams("1")
    streams = [one.next() for _ in range(500)]

    assert streams == [other.next() for _ in range(500)]
    assert len({*streams}) > 450
    assert streams != [Streams("2").next() for _ in range(500)]


def fault(number: int, streams: int = 300) -> str:
    """What a round finds, which it finds again."""
    texts = []
    for _ in range(2):
        with pytest.raises(Failed) as caught:
            Round(SEED, number, streams).run()
        texts.append(re.sub(r"0x[0-9a-f]+", "", str(caught.value)))
    assert texts[0] == texts[1]
    assert f"--seed {SEED} --round {number}" in texts[0]
    return texts[0]


def test_an_exception_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the stream that led to it."""

    def publish(self: BrokerHub, publication: MQTTPublication) -> int:
        if publication.topic == b"b":
            raise ZeroDivisionError("b")
        return 0

    monkeypatch.setattr(BrokerHub, "publish", publish)

    for number in (0, 7):
        assert re.search(
            r"(?s)ZeroDivisionError|a message failed.*stream \d+ of", fault(number, 1000)
        )


def test_what_is_only_logged_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """As that a subscriber failed."""
    from speedo_trio.mqtt.state.outgoing import Outgoing

    def deliver(self: Outgoing, publication: Any, terms: Any) -> bool:
        raise ZeroDivisionError

    monkeypatch.setattr(Outgoing, "deliver", deliver)

    assert "Fault: logged: BrokerSession failed on a message" in fault(0)


def test_a_hang_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it hangs."""
    monkeypatch.setattr("tests.mqtt.fuzz.rounds.HANG", 0.02)

    def feed(self: PacketReader, data: bytes) -> Any:
        while True:
            pass

    monkeypatch.setattr(PacketReader, "feed", feed)
    with pytest.raises(Failed, match="Hang: more than") as caught:
        Round(SEED, 0).run()

    assert isinstance(caught.value.__cause__, BaseExceptionGroup | Hang)


def test_wrong_bytes_of_the_server_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as a DISCONNECT before CONNACK."""
    monkeypatch.setattr("speedo_trio.mqtt.state.machine.refusal", lambda *given: b"\xe0\x01\x82")

    assert "Fault: the server sent e00182" in fault(0, 1000)


def test_what_is_left_behind_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that never ends, and a connection that nobody lets go of."""
    monkeypatch.setattr(Sessions, "deadline", None)
    assert "left behind: {'sessions': " in fault(0, 20)
    monkeypatch.undo()
    monkeypatch.setattr("speedo_trio.mqtt.caretaker.Caretaker.leave", lambda *given: None)
    assert re.search(r"too many: \d+ watched", fault(0, 1000))


def test_an_error_of_the_protocol_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends a connection, and that is all."""

    def receive(self: MQTTHandler, data: bytes) -> None:
        raise MQTTError("no")

    monkeypatch.setattr(MQTTHandler, "receive", receive)
    Round(SEED, 0, 100).run()


def test_the_figures() -> None:
    """They are added up over processes."""
    total = Tally()
    for streams in (1000, 2000):
        total.add(Tally(1, streams, 2.0, 1.0, 5, 1_048_576))

    assert str(total) == (
        "3,000 streams in 2 rounds, 2.0 s: 1,500 a second, 1,500 a second of processor time; "
        "+5 objects, +1.0 MiB"
    )
