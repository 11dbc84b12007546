"""The flags of MQTT: passwords and properties; the command's tests have the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from speedo_trio.cli.mistakes import Mistake
from speedo_trio.cli.pubsub.mqtt_flags import (
    PASSWORD_VARIABLE,
    MQTTFlags,
    parse_property,
    read_password,
)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("content-type=text/plain; a=b", ("content-type", "text/plain; a=b")),
        ("response-topic=", ("response-topic", "")),
        ("message-expiry-interval=60", ("message-expiry-interval", 60)),
        ("user-property=key=a=b", ("user-property", ("key", "a=b"))),
    ],
)
def test_a_property(text: str, parsed: object) -> None:
    """The value is what follows the first sign of equality, or the second for a pair."""
    assert parse_property(text) == parsed


def test_where_a_password_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The flag, the file, or the variable if there is a user name that it could be of."""
    file = tmp_path / "password"
    file.write_bytes(b" a b \r\n")
    monkeypatch.setenv(PASSWORD_VARIABLE, "variable")

    assert read_password(MQTTFlags(password="flag")) == b"flag"
    assert read_password(MQTTFlags(password_file=file)) == b" a b "
    assert read_password(MQTTFlags(user="u")) == b"variable"
    assert read_password(MQTTFlags()) is None
    monkeypatch.delenv(PASSWORD_VARIABLE)
    assert read_password(MQTTFlags(user="u")) is None


@pytest.mark.parametrize("content", [b"", b"\n", b"a\nb\n", b"x" * 70_000])
def test_a_file_that_has_no_password(tmp_path: Path, content: bytes) -> None:
    """It is told, without what is in it."""
    file = tmp_path / "password"
    file.write_bytes(content)
    with pytest.raises(Mistake, match="allowed is one line with the password"):
        read_password(MQTTFlags(password_file=file))
