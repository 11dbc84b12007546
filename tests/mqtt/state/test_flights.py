"""What each acknowledgement makes of a message, as a table by hand."""

from __future__ import annotations

import pytest

from speedo_trio.mqtt.state.flights import STEPS, Progress, Step
from speedo_trio.mqtt.wire.packet_types import PacketType

TABLE = """
                   unknown    QoS 1  QoS 2    released
    PUBACK         IGNORE     DONE   WRONG    WRONG
    PUBACK 0x80    IGNORE     DONE   WRONG    WRONG
    PUBREC         NOT_FOUND  WRONG  RELEASE  AGAIN
    PUBREC 0x80    IGNORE     WRONG  DONE     IGNORE
    PUBCOMP        IGNORE     WRONG  WRONG    DONE
    PUBCOMP 0x80   IGNORE     WRONG  WRONG    DONE
"""

ROWS = [line.split() for line in TABLE.strip().splitlines()[1:]]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: " ".join(row[:-4]))
def test_each_step(row: list[str]) -> None:
    """[MQTT-4.3.2-3] [MQTT-4.3.3-3] [MQTT-4.3.3-4] [MQTT-4.3.3-5] [MQTT-4.4.0-2] [MQTT-4.8.2-6]."""
    steps = STEPS[PacketType[row[0]], row[1] == "0x80"]

    assert [Step[name] for name in row[-4:]] == [*steps]
    assert len(Progress) == len(steps)


def test_every_acknowledgement_is_there() -> None:
    """Three kinds, refusing or not."""
    assert len(ROWS) == len(STEPS)
