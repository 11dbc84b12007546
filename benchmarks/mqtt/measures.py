"""The measures: how each kind of shape is measured.

A restart with a full store belongs here, too, once the broker has a store: a kind in
`benchmarks.mqtt.shapes.TITLES`, and a function that fills it, starts the server again and waits for
the first CONNACK.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.mqtt.crowds import (
    measure_beside,
    measure_idle,
    measure_retained,
    measure_storm,
    measure_subscriptions,
)
from benchmarks.mqtt.loads import measure_load
from benchmarks.mqtt.shapes import LOADS

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.mqtt.shapes import Shape
    from benchmarks.mqtt.tools import Tools
    from benchmarks.results import Figures
    from benchmarks.servers import Server

MEASURES: dict[str, Callable[[Tools, Server, Shape], Figures]] = {
    **dict.fromkeys(LOADS, measure_load),
    "storm": measure_storm,
    "beside": measure_beside,
    "idle": measure_idle,
    "subscriptions": measure_subscriptions,
    "retained": measure_retained,
}
