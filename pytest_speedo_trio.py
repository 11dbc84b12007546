"""A pytest plugin: an MQTT broker for the tests of whoever writes MQTT clients.

pytest imports it at each start, wherever speedo_trio is installed. So it is no part of the package,
which takes a while to import, and imports that when a test asks for a broker.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from speedo_trio.testing import MQTTTestBroker


@pytest.fixture
def make_mqtt_broker() -> Iterator[Callable[..., MQTTTestBroker]]:
    """Starts brokers with options of one's own: ``make_mqtt_broker(capabilities=…)``.

    The arguments are those of `speedo_trio.testing.MQTTTestBroker`. All end with the test.
    """
    from speedo_trio.testing import MQTTTestBroker  # noqa: PLC0415  # see above

    with ExitStack() as brokers:

        def make(*binds: str, **options: Any) -> MQTTTestBroker:  # they are typed there
            return brokers.enter_context(MQTTTestBroker(*binds, **options))

        yield make


@pytest.fixture
def mqtt_broker(make_mqtt_broker: Callable[..., MQTTTestBroker]) -> MQTTTestBroker:
    """An MQTT broker on a free port of localhost, in a thread of its own; it ends with the test."""
    return make_mqtt_broker()
