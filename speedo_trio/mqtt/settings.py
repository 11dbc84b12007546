"""The settings of MQTT in the command: what clients may do, and what the server tells of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from speedo_trio.errors import ConfigError
from speedo_trio.mqtt.state.capabilities import Capabilities

if TYPE_CHECKING:
    from attrs import Attribute


def _interval(owner: object, attribute: Attribute[Any], value: float) -> None:
    if type(value) not in {int, float} or not 0 <= value < float("inf"):
        raise ConfigError(
            f"{attribute.name} is {value!r}; allowed is a number of seconds, 0 for never"
        )


@frozen(kw_only=True)
class MQTTSettings(Capabilities):
    """What a server offers, forbids and tells."""

    sys_interval: float = field(default=10.0, validator=_interval)
    """Seconds between two looks at what `$SYS/broker/...` tells; 0: it tells nothing."""
