"""The settings are those of the server, and what their text stands for."""

from __future__ import annotations

import pytest
from attrs import fields

from speedo_trio.cli.settings import SECTIONS, SERVER_SECTIONS, Settings, from_text, setting_keys
from speedo_trio.config import Config, Workers


def test_every_section_of_the_server_is_there() -> None:
    """A new section of Config must be added to Settings."""
    assert {field.name for field in fields(Config)} == set(SERVER_SECTIONS)
    commands = {"protocol", "bind", "processes", "log_format", "log_level"}
    commands |= {"also", "bridges", "admin", "admin_token_file"}
    assert {field.name for field in fields(Settings)} == {*commands, *SECTIONS}


def test_config_is_made_of_the_sections() -> None:
    """What was set arrives, the rest is the default."""
    workers = Workers(count=3)

    assert Settings(workers=workers).config == Config(workers=workers)


def test_setting_keys_are_paths() -> None:
    """The order is that of a file: tables last, and what is in a table after the table."""
    keys = setting_keys()
    lengths = [len(key) for key in keys]

    assert keys[:2] == [("protocol",), ("bind",)]
    assert lengths[: lengths.index(2)] == [1] * 8
    assert 1 not in lengths[8:]
    assert keys.index(("mqtt", "sys_interval")) + 1 == keys.index(
        ("mqtt", "security", "password_file")
    )
    assert keys[8] == ("limits", "connections")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-1", -1),
        ("0.5", 0.5),
        ("1e3", 1000.0),
        ("None", None),
        ("wait", "wait"),
        ("", ""),
    ],
)
def test_from_text(text: str, value: object) -> None:
    """Numbers are numbers, none is None, all else is text."""
    found = from_text(text)

    assert (type(found), found) == (type(value), value)
