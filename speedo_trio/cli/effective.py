"""The effective configuration, as a TOML file that tells where each value came from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from speedo_trio.cli.bridges import bridges_toml
from speedo_trio.cli.settings import get_setting, setting_keys
from speedo_trio.logs.text import printable

if TYPE_CHECKING:
    from speedo_trio.cli.origins import Origins
    from speedo_trio.cli.settings import Settings


def effective_toml(settings: Settings, origins: Origins) -> str:
    """All settings as TOML, each with its origin as a comment; ``--config`` reads it back."""
    rows: list[tuple[str, str]] = []
    section = ""
    for *sections, name in setting_keys():
        if ".".join(sections) != section:
            section = ".".join(sections)
            rows += [("", ""), (f"[{section}]", "")]
        keys = (*sections, name)
        rows.append((f"{name} = {_toml(get_setting(settings, keys))}", origins.of(keys)))
    if settings.bridges:
        rows += [("", ""), *((line, "") for line in bridges_toml(settings.bridges))]
    width = max(len(text) for text, _ in rows)
    return "\n".join(
        f"{text:<{width}}  # {printable(origin)}" if origin else text for text, origin in rows
    )


def _toml(value: object) -> str:
    if value is None:
        return '"none"'  # TOML has no null
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, str):  # a JSON string is a TOML string, but for DEL
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)
