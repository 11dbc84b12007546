"""The settings of a store, as the command has them.

Next: `speedo_trio.mqtt.store.sqlite`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

from attrs import field, frozen

from speedo_trio.errors import ConfigError
from speedo_trio.pubsub.bounds import bound

if TYPE_CHECKING:
    from attrs import Attribute

Durability: TypeAlias = Literal["process", "power"]
"""What a store withstands: the end of the process by whatever, or also that of the machine."""

PENDING_BYTES: Final = 16_777_216
"""What may be noted and not yet written, unless it is said otherwise."""
LEAST_BYTES: Final = 1_048_576
"""The least that a store may be bounded to: an empty one takes 50 KB."""


def check_durability(owner: object, attribute: object, value: object) -> None:
    """Validate a durability.

    Raises:
        ConfigError: it is none.
    """
    if value not in get_args(Durability):
        allowed = " or ".join(map(repr, get_args(Durability)))
        raise ConfigError(f"durability is {value!r}; allowed is {allowed}")


def _path(owner: object, attribute: Attribute[Any], value: object) -> None:
    if value is not None and (not isinstance(value, str) or not value):
        raise ConfigError(f"path is {value!r}; allowed is a path or none")


def check_maximum(owner: object, attribute: Attribute[Any] | None, value: object) -> None:
    """Validate the most bytes of a file.

    Raises:
        ConfigError: it is no number, or too low.
    """
    if value is not None and (type(value) is not int or value < LEAST_BYTES):
        raise ConfigError(
            f"maximum_bytes is {value!r}; allowed is a whole number from {LEAST_BYTES} or none"
        )


def _or_none(value: str | None) -> str | None:
    return None if isinstance(value, str) and value.lower() == "none" else value


@frozen(kw_only=True)
class StoreSettings:
    """Where MQTT keeps sessions, messages that wait and what is retained, and how safely."""

    path: str | None = field(default=None, converter=_or_none, validator=_path)
    """The file, which is made if there is none, in a folder that is there. none: all of it is in
    memory, and ends with the process."""
    durability: Durability = field(default="process", validator=check_durability)
    """What is acknowledged outlasts the end of the process, however that comes ("process"), or also
    a loss of power ("power")."""
    pending_bytes: int = field(default=PENDING_BYTES, validator=bound())
    """Bytes that may wait to be written. At that, clients that wait for an acknowledgement are not
    read any more, until the disk has caught up."""
    maximum_bytes: int | None = field(default=None, validator=check_maximum)
    """Bytes of the file, at most. When it is full nothing is acknowledged until there is room.
    none: as many as the disk has."""
