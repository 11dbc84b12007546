"""Settings as the text of a TOML file, with notes as comments before them.

Next: `speedo_trio.cli.mosquitto.command`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from speedo_trio.logs.text import printable

if TYPE_CHECKING:
    from speedo_trio.cli.mosquitto.result import Translation


def as_toml(made: Translation) -> str:
    """The file."""
    lines = [f"# {printable(each)}" for each in made.notes]
    for section, settings in made.settings.items():
        if section:
            lines += ["", f"[{section}]"]
        lines += [f"{name} = {_value(value)}" for name, value in settings.items()]
    return "\n".join(lines) + "\n"


def _value(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {_value(each)}" for name, each in value.items()) + "}"
    if isinstance(value, str):  # a JSON string is a TOML string, but for DEL
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value).lower()
