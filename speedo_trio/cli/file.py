"""The configuration file: TOML with the settings' own names, checked key by key.

The file is the one that ``--config`` or ``TRIO_SPEEDO_CONFIG`` names. None is looked for: a file
that happens to lie in the current directory could make a server run code (``protocol``) or
listen to the world, and a server started elsewhere would differ without a word.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import define
from cyclopts.config import Dict

from speedo_trio.cli.bridges import read_bridges
from speedo_trio.cli.mistakes import ALL, Mistake, suggestion
from speedo_trio.cli.settings import NESTED, SECTIONS, check_setting, setting_keys

if TYPE_CHECKING:
    from cyclopts import App, ArgumentCollection

    from speedo_trio.cli.settings import Keys
    from speedo_trio.mqtt.bridging.settings import BridgeSettings

_MISSING = object()


@define
class SettingsFile:
    """The file, if one is asked for: a source of the app's settings."""

    bridges: tuple[BridgeSettings, ...] = ()
    """The bridges that it has, which no flag or variable can tell."""

    def __call__(self, app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
        """Give the settings of the file to those arguments that have none yet.

        Raises:
            Mistake: the file cannot be read, is no TOML, or has a key that is no setting.
            ConfigError: a value is not allowed, even if a flag or variable overrides it.
        """
        named = arguments.get("--config", None)
        if named is None or not named.tokens:
            return
        path = named.tokens[0].value
        table = _read(path)
        mqtt = table.get("mqtt")
        if isinstance(mqtt, dict) and "bridges" in mqtt:
            self.bridges = read_bridges(path, mqtt.pop("bridges"))
        _check(path, table)
        Dict(_flat(table), source=path, use_commands_as_keys=False)(app, commands, arguments)


def _flat(table: dict[str, Any]) -> dict[str, Any]:  # Any: as below
    """The settings by their dotted names.

    Cyclopts leaves out what is called like a command, and there is a command "mqtt".
    """
    flat: dict[str, Any] = {}  # Any: as below
    for keys in setting_keys():
        value: Any = table  # Any: as below
        for key in keys:
            value = value.get(key, _MISSING) if isinstance(value, dict) else _MISSING
        if value is not _MISSING:
            flat[".".join(keys)] = value
    return flat


def _read(path: str) -> dict[str, Any]:  # Any: whatever TOML holds
    try:
        with Path(path).open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise Mistake(f"cannot read {path or repr(path)}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise Mistake(f"{path} is no TOML: byte {error.start} is not UTF-8") from error
    except ValueError as error:  # TOMLDecodeError is one; it tells line and column
        raise Mistake(f"{path} is no TOML: {error}") from error


def _check(path: str, table: dict[str, Any]) -> None:
    for key, value in table.items():
        if key not in SECTIONS:
            _check_one(path, (key,), value)
        else:
            _check_section(path, (key,), value)


def _check_section(path: str, keys: Keys, table: object) -> None:
    if not isinstance(table, dict):
        name = ".".join(keys)
        raise Mistake(f"{path}: {name} is {table!r}; allowed is a table: [{name}]")
    for name, item in table.items():
        inner = (*keys, name)
        if inner in NESTED:
            _check_section(path, inner, item)
        else:
            _check_one(path, inner, item)


def _check_one(path: str, keys: tuple[str, ...], value: object) -> None:
    if keys not in setting_keys():
        known = [".".join(keys) for keys in setting_keys()] + list(SECTIONS)
        name = ".".join(keys)
        raise Mistake(f"{path}: {name} is no setting{suggestion(name, known) or ALL}")
    if len(keys) > 1 and isinstance(value, str) and value.lower() == "none":
        value = None  # TOML has no null
    check_setting(f"{path}: {'.'.join(keys)}", keys, value)
