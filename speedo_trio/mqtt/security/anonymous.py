"""Whom a broker lets in that shows nobody who it is.

Next: `speedo_trio.mqtt.security.hashes`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from speedo_trio.errors import ConfigError

if TYPE_CHECKING:
    from attrs import Attribute

AnonymousPolicy: TypeAlias = Literal["local", "always", "never"]
"""Who comes in without showing who it is: clients of this machine, all, or none."""

_ALLOWED = " or ".join(map(repr, get_args(AnonymousPolicy)))


def check_anonymous(owner: object, attribute: Attribute[Any], value: object) -> None:  # Any: as is
    """Raises ConfigError: it is no `AnonymousPolicy`."""
    if value not in get_args(AnonymousPolicy):
        raise ConfigError(f"{attribute.name} is {value!r}; allowed is {_ALLOWED}")
