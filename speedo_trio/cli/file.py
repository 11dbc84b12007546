"""The configuration file: TOML with the settings' own names, checked key by key.

The file is the one that ``--config`` or ``TRIO_SPEEDO_CONFIG`` names. None is looked for: a file
that happens to lie in the current directory could make a server run code (``protocol``) or
listen to the world, and a server started elsewhere would differ without a word.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclopts.config import Dict

from speedo_trio.cli.mistakes import ALL, Mistake, suggestion
from speedo_trio.cli.settings import SECTIONS, check_setting, setting_keys

if TYPE_CHECKING:
    from cyclopts import App, ArgumentCollection


def add_file(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Give the settings of the file, if one is asked for, to those arguments that have none yet.

    Raises:
        Mistake: the file cannot be read, is no TOML, or has a key that is no setting.
        ConfigError: a value is not allowed, even if a flag or variable overrides it.
    """
    named = arguments.get("--config", None)
    if named is None or not named.tokens:
        return
    path = named.tokens[0].value
    table = _read(path)
    _check(path, table)
    # Below the command's name: else keys that are names of commands, as mqtt is, are left out.
    for command in reversed(commands):
        table = {command: table}
    Dict(table, source=path)(app, commands, arguments)


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
        elif isinstance(value, dict):
            for name, item in value.items():
                _check_one(path, (key, name), item)
        else:
            raise Mistake(f"{path}: {key} is {value!r}; allowed is a table: [{key}]")


def _check_one(path: str, keys: tuple[str, ...], value: object) -> None:
    if keys not in setting_keys():
        known = [".".join(keys) for keys in setting_keys()] + list(SECTIONS)
        name = ".".join(keys)
        raise Mistake(f"{path}: {name} is no setting{suggestion(name, known) or ALL}")
    if len(keys) > 1 and isinstance(value, str) and value.lower() == "none":
        value = None  # TOML has no null
    check_setting(f"{path}: {'.'.join(keys)}", keys, value)
