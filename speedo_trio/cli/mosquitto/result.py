"""A translation: settings of ours, and what of mosquitto's is not among them.

Next: `speedo_trio.cli.mosquitto.translation`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define, field

if TYPE_CHECKING:
    from speedo_trio.cli.mosquitto.conf import Option


@define
class Translation:
    """Settings by section, and notes of what is not among them."""

    settings: dict[str, dict[str, Any]] = field(factory=dict)  # Any: as TOML has them
    notes: list[str] = field(factory=list)

    def put(self, section: str, name: str, value: object) -> None:
        """Set something; an empty section is the top of the file."""
        self.settings.setdefault(section, {})[name] = value

    def note(self, option: Option, text: str = "has no counterpart here") -> None:
        """Tell of an option that is not translated, or not wholly."""
        self.notes.append(f"{option} {text}")
