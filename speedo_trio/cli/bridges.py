"""Bridges in the configuration file: the tables below ``[mqtt.bridges]``, checked key by key."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import NOTHING, fields

from speedo_trio.cli.mistakes import Mistake, suggestion
from speedo_trio.errors import ConfigError
from speedo_trio.mqtt.bridging.settings import BridgeSettings, BridgeTopic, check_bridges

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

T = TypeVar("T", BridgeSettings, BridgeTopic)

PLACE = "mqtt.bridges"


def read_bridges(path: str, tables: object) -> tuple[BridgeSettings, ...]:
    """The bridges of a file.

    Args:
        path: the file, for errors.
        tables: what stands at ``mqtt.bridges``.

    Raises:
        Mistake: they are none; the text tells the key, what was seen and what is allowed.
    """
    if not isinstance(tables, dict) or not all(isinstance(each, dict) for each in tables.values()):
        raise Mistake(f"{path}: {PLACE} is {tables!r}; allowed are tables: [{PLACE}.NAME]")
    bridges = [_bridge(f"{path}: {PLACE}.{name}", name, table) for name, table in tables.items()]
    try:
        return check_bridges(bridges)
    except ConfigError as error:
        raise Mistake(f"{path}: {PLACE}: {error}") from error


def _bridge(place: str, name: str, table: dict[str, Any]) -> BridgeSettings:  # Any: from TOML
    if "name" in table:
        raise Mistake(f"{place}: name is no setting; the name is {name}")
    topics = table.get("topics")
    if not isinstance(topics, list) or not all(isinstance(each, dict) for each in topics):
        raise Mistake(
            f'{place}: topics is {topics!r}; allowed is a list such as [{{filter = "#"}}]'
        )
    made = [
        _make(BridgeTopic, f"{place}: topics[{index}]", each) for index, each in enumerate(topics)
    ]
    return _make(BridgeSettings, place, {**table, "name": name, "topics": tuple(made)})


def _make(kind: type[T], place: str, values: dict[str, Any]) -> T:  # Any: from TOML
    known = {each.name: each for each in fields(kind)}
    for key in values:
        if key not in known:
            raise Mistake(f"{place}: {key} is no setting{suggestion(key, known)}")
    missing = [
        name for name, each in known.items() if each.default is NOTHING and name not in values
    ]
    if missing:
        raise Mistake(f"{place}: {missing[0]} is missing")
    try:
        return kind(**values)
    except ConfigError as error:
        raise Mistake(f"{place}: {error}") from error


def bridges_toml(bridges: Iterable[BridgeSettings]) -> Iterator[str]:
    """The lines of a file that has these bridges; what is as by default is left out.

    A password is, too.
    """
    for bridge in bridges:
        yield f"[{PLACE}.{json.dumps(bridge.name, ensure_ascii=False)}]"
        for name, value in _changed(bridge):
            if name == "topics":
                yield f"topics = [{', '.join(map(_table, bridge.topics))}]"
            elif name == "password":
                yield "# password is not shown"
            elif name != "name":
                yield f"{name} = {_toml(value)}"


def _table(topic: BridgeTopic) -> str:
    return f"{{{', '.join(f'{name} = {_toml(value)}' for name, value in _changed(topic))}}}"


def _changed(owner: BridgeSettings | BridgeTopic) -> Iterator[tuple[str, object]]:
    for each in fields(type(owner)):
        value = getattr(owner, each.name)
        if value != each.default:
            yield each.name, value


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):  # a JSON string is a TOML string, but for DEL
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)
