"""``pub`` and ``sub`` with a server of MQTT: what arrives, and how the commands end."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from speedo_trio.cli.app import run
from speedo_trio.cli.pubsub.mqtt import login_of, properties_of
from speedo_trio.cli.pubsub.plan import PubPlan, SubPlan
from speedo_trio.mqtt import Accepted, Hooks, Properties, Refused, Version
from speedo_trio.mqtt.requests import ConnectRequest, PublishRequest, SubscribeRequest
from speedo_trio.mqtt.wire.packets import Will
from speedo_trio.testing import MQTTTestBroker
from tests.cli.conftest import Start
from tests.cli.pubsub.conftest import Odd

MakeOdd = Callable[[Callable[[socket.socket], None]], Odd]
MakeBroker = Callable[..., MQTTTestBroker]

every_version = pytest.mark.parametrize("version", ["5", "3.1.1", "3.1"])


@every_version
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_message(mqtt: MQTTTestBroker, version: str, qos: int) -> None:
    """The server has it when the command returns."""
    words = ["-q", str(qos), "-V", version, "--url", mqtt.url]
    assert run(["pub", "a/b", "21.5", "--retain", *words]) == 0
    (message,) = mqtt.messages()

    assert (message.topic, message.payload, message.qos) == ("a/b", b"21.5", qos)
    assert message.to_retain


def test_properties(mqtt: MQTTTestBroker) -> None:
    """All of them go with the message."""
    given = [
        *("-D", "user-property=a=1", "-D", "user-property=a=2", "-D", "content-type=text"),
        *("-D", "message-expiry-interval=60", "-D", "payload-format-indicator=1"),
        *("-D", "response-topic=b", "-D", "correlation-data=\udcff"),
    ]
    assert run(["pub", "a", "x", *given, "--url", mqtt.url]) == 0

    assert mqtt.messages()[0].properties == Properties(
        payload_format_indicator=1,
        message_expiry_interval=60,
        content_type="text",
        response_topic="b",
        correlation_data=b"\xff",
        user=(("a", "1"), ("a", "2")),
    )


@every_version
def test_a_subscription(
    mqtt: MQTTTestBroker, capfd: pytest.CaptureFixture[str], version: str
) -> None:
    """What is retained comes, in the formats that there are."""
    properties = Properties(content_type="text", correlation_data=b"\xff")
    mqtt.publish("a/b", b"21.5", qos=1, retain=True, properties=properties)
    words = ["-C", "1", "-q", "2", "-V", version, "--url", mqtt.url]
    assert run(["sub", "a/#", "-v", *words]) == 0
    assert capfd.readouterr().out == "a/b 21.5\n"
    assert run(["sub", "a/#", "--format", "json", *words]) == 0
    line = json.loads(capfd.readouterr().out)
    del line["time"]
    told = {"content_type": "text", "correlation_data": "\\xff"} if version == "5" else None
    expected = {"topic": "a/b", "retain": True, "payload": "21.5", "qos": 1, "properties": told}

    assert line == {name: value for name, value in expected.items() if value is not None}


def test_a_session_that_is_kept(mqtt: MQTTTestBroker, capfd: pytest.CaptureFixture[str]) -> None:
    """What came meanwhile is written; without the flag it is gone."""
    words = ["sub", "a", "-q", "1", "-i", "me", "--url", mqtt.url]
    assert run([*words, "-c", "-W", "0.1"]) == 0
    mqtt.publish("a", b"meanwhile", qos=1)
    assert run([*words, "-c", "-C", "1"]) == 0
    assert capfd.readouterr().out == "meanwhile\n"
    assert run([*words, "-W", "0.1"]) == 0
    assert mqtt.sessions() == ()


def test_a_will(mqtt: MQTTTestBroker, start: Start) -> None:
    """It is published when the command is killed."""
    words = ["--will-topic", "w", "--will-payload", "gone", "--will-qos", "1", "--will-retain"]
    sub = start("sub", "a", "-i", "me", *words, "--url", mqtt.url)
    mqtt.wait_for_subscriber("a")
    sub.send(signal.SIGKILL)
    message = mqtt.wait_for_message("w")

    assert (message.payload, message.qos, message.to_retain) == (b"gone", 1, True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal(mqtt: MQTTTestBroker, start: Start, number: signal.Signals) -> None:
    """The status is that of a subscriber that did what was asked."""
    sub = start("sub", "a", "--url", mqtt.url)
    mqtt.wait_for_subscriber("a")
    sub.send(number)

    assert sub.end() == (0, "", "")


# Refusals


def refuse_connect(request: ConnectRequest) -> Accepted | Refused:
    """Only one user may come."""
    if (request.user_name, request.password) == ("me", b"secret"):
        return Accepted()
    return Refused(text="who are you?")


def refuse_publish(request: PublishRequest) -> bool:
    """Nobody may."""
    return False


def refuse_subscribe(request: SubscribeRequest) -> bool:
    """Nobody may."""
    return False


def test_a_password(
    make_mqtt: MakeBroker, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """From a file; the refusal of a wrong one is the line."""
    broker = make_mqtt(hooks=Hooks(authenticate=refuse_connect))
    (tmp_path / "password").write_text("secret\n")
    words = ["pub", "a", "x", "--url", broker.url, "-u", "me"]
    assert run([*words, "--password-file", "password"]) == 0
    assert run([*words, "-P", "other"]) == 1

    assert capfd.readouterr().err.startswith("trio-speedo: the server refused: ")


def test_a_refusal(make_mqtt: MakeBroker, capfd: pytest.CaptureFixture[str]) -> None:
    """Of a message or of a filter: the status is 1, and the line tells it."""
    hooks = Hooks(authorise_publish=refuse_publish, authorise_subscribe=refuse_subscribe)
    url = make_mqtt(hooks=hooks).url
    assert run(["pub", "a", "x", "-q", "1", "--url", url]) == 1
    assert capfd.readouterr().err == "trio-speedo: the server refused the message: not authorized\n"
    assert run(["sub", "a", "--url", url]) == 1

    assert capfd.readouterr().err == (
        "trio-speedo: the server refused the filter 'a': not authorized\n"
    )


def test_a_server_that_does_not_answer(odd: MakeOdd, capfd: pytest.CaptureFixture[str]) -> None:
    """After the time limit that is the line."""
    url = odd(lambda connection: None).url.replace("simplepub", "mqtt")

    assert run(["pub", "a", "b", "--timeout", "0.2", "--url", url]) == 1
    assert capfd.readouterr().err == f"trio-speedo: no connection within 0.2 s: {url}\n"


def test_a_message_that_may_not_be_sent(
    mqtt: MQTTTestBroker, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is a mistake, whether we know of it or the server has said it."""
    words = ["pub", "a", "x", "--url", mqtt.url]
    assert run([*words, "-D", "response-topic=a/#"]) == 2
    assert run(["pub", "a/#", "x", "--url", mqtt.url]) == 2
    assert capfd.readouterr().err.count("\n") == 2


# Without a server


def test_a_login() -> None:
    """What the flags say; a client identifier only where the server chooses none."""
    login = login_of(
        SubPlan(url="mqtt://x", keep_session=True, id="me", session_expiry=5, user="u")
    )
    assert (login.clean_start, login.session_expiry, login.client_id) == (False, 5, "me")
    assert login_of(PubPlan()).client_id == ""
    assert login_of(SubPlan(keep_session=True, id="me")).session_expiry == 0xFFFF_FFFF
    old = login_of(PubPlan(protocol_version="31", will_topic="w", will_qos=2))
    assert old.version is Version.MQTT_3_1
    assert 1 <= len(old.client_id) <= 23
    assert old.will == Will(b"w", b"", 2)


def test_no_properties() -> None:
    """Then none are sent."""
    assert properties_of(PubPlan()) is None
