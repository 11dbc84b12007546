"""What Prometheus gets."""

from __future__ import annotations

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from speedo_trio.admin.metrics import Metrics
from speedo_trio.meter import Meter
from speedo_trio.testing.memory import MemoryServer
from tests.admin.conftest import talk

PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
"""What Prometheus 3 accepts."""


async def test_text(echo: MemoryServer) -> None:
    """By default it is the format that everybody reads."""
    await talk(echo, 4)
    response = Metrics(echo.server, Meter()).response("")
    families = {
        family.name: family for family in text_string_to_metric_families(response.body.decode())
    }

    assert response.content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert families["speedo_trio_messages_executed"].samples[0].value == 4
    assert families["speedo_trio_connections"].samples[0].value == 1
    assert families["speedo_trio_received_bytes"].samples[0].value == 8
    assert families["speedo_trio_turn_seconds"].type == "histogram"


async def test_openmetrics(echo: MemoryServer) -> None:
    """Who accepts it gets it."""
    await talk(echo, 4)
    response = Metrics(echo.server, Meter()).response(PROMETHEUS)
    families = {
        family.name: family
        for family in openmetrics.text_string_to_metric_families(response.body.decode())  # type: ignore[no-untyped-call]  # theirs
    }

    assert response.content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert families["speedo_trio_messages_executed"].samples[0].value == 4
    assert families["speedo_trio"].samples[0].name == "speedo_trio_info"


@pytest.mark.parametrize("accept", ["version=x", "text/plain;version=nan", "\xff", ";;,,=", "*/*"])
async def test_any_other_wish_gets_text(echo: MemoryServer, accept: str) -> None:
    """Nothing in it is trusted to be of any form."""
    response = Metrics(echo.server, None).response(accept)

    assert response.content_type == "text/plain; version=0.0.4; charset=utf-8"


async def test_the_process_is_there_too(echo: MemoryServer) -> None:
    """Memory, processor and descriptors are what runs out."""
    names = {
        family.name
        for family in text_string_to_metric_families(
            Metrics(echo.server, None).response("").body.decode()
        )
    }

    assert {
        "process_open_fds",
        "process_resident_memory_bytes",
        "process_cpu_seconds",
        "process_start_time_seconds",
    } <= names
