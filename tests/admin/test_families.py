"""Which metrics there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client.metrics_core import Metric

from speedo_trio.admin.families import families
from speedo_trio.config import Config
from speedo_trio.events import Cause, Pause, Refusal
from speedo_trio.meter import Meter
from speedo_trio.stats import ServerStats

PAGE = Path(__file__).parents[2] / "docs" / "admin.md"

STATS = ServerStats(
    connections=1,
    accepted=2,
    refused=3,
    refusals={Refusal.FULL: 1, Refusal.RATE: 2},
    pauses={Pause.LANE_BYTES: 5},
    closed={Cause.EOF: 5},
    waiting=6,
    executed=7,
    failed=8,
    dropped=9,
    received=10,
    sent=11,
    ready=12,
    busy=13,
    threads=14,
    paused=False,
    draining=True,
)


def measured() -> Meter:
    """A meter with two turns."""
    meter = Meter()
    meter.add_turn(waited=0.0002, seconds=0.3, messages=1, lap=0.3, last=0.3)
    meter.add_turn(waited=60, seconds=0.1, messages=1, lap=0.1, last=0.1)
    return meter


def found(meter: Meter | None = None) -> dict[str, Metric]:
    """All families, by their names."""
    snapshot = None if meter is None else meter.snapshot()
    return {family.name: family for family in families(STATS, Config(), snapshot)}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("connections", 1),
        ("connections_limit", 65_536),
        ("connections_accepted_total", 2),
        ("messages_waiting", 6),
        ("messages_waiting_limit", 262_144),
        ("messages_executed_total", 7),
        ("messages_failed_total", 8),
        ("messages_dropped_total", 9),
        ("received_bytes_total", 10),
        ("sent_bytes_total", 11),
        ("lanes_ready", 12),
        ("workers_busy", 13),
        ("worker_threads", 14),
        ("worker_threads_limit", 16),
        ("paused", 0),
        ("draining", 1),
    ],
)
def test_numbers(name: str, value: int) -> None:
    """Each is what the server tells."""
    family = found()[f"speedo_trio_{name.removesuffix('_total')}"]

    assert [(sample.name, sample.value) for sample in family.samples] == [
        (f"speedo_trio_{name}", value)
    ]
    assert family.type == ("counter" if name.endswith("_total") else "gauge")


def test_labels_are_there_before_they_count() -> None:
    """A rate needs a first value; so causes and limits of none are there, as zeros."""
    refused = found()["speedo_trio_connections_refused"]
    closed = found()["speedo_trio_connections_closed"]
    held_up = found()["speedo_trio_connections_held_up"]

    assert {sample.labels["limit"]: sample.value for sample in refused.samples} == {
        "connections": 1,
        "connections_per_address": 0,
        "rate": 2,
        "rate_per_address": 0,
    }
    assert len(closed.samples) == len(Cause)
    assert {sample.labels["limit"]: sample.value for sample in held_up.samples} == {
        "lane_messages": 0,
        "lane_bytes": 5,
        "messages": 0,
        "bytes": 0,
        "unsent_high": 0,
    }
    assert {sample.labels["cause"]: sample.value for sample in closed.samples}["eof"] == 5


def test_histograms_are_cumulated() -> None:
    """As Prometheus has them: each bucket holds those below it, the last one all."""
    samples = found(measured())["speedo_trio_turn_wait_seconds"].samples
    buckets = {
        sample.labels["le"]: sample.value for sample in samples if sample.name.endswith("_bucket")
    }

    assert buckets["0.0001"] == 0
    assert buckets["0.00025"] == 1
    assert buckets["10.0"] == 1
    assert buckets["+Inf"] == 2
    assert {sample.name: sample.value for sample in samples}[
        "speedo_trio_turn_wait_seconds_count"
    ] == 2
    assert {sample.name: sample.value for sample in samples}[
        "speedo_trio_turn_wait_seconds_sum"
    ] == pytest.approx(60.0002)


def test_without_a_meter_there_are_no_histograms() -> None:
    """None, and not empty ones."""
    assert [family for family in found().values() if family.type == "histogram"] == []
    assert sum(family.type == "histogram" for family in found(measured()).values()) == 3


def test_every_metric_is_documented() -> None:
    """docs/admin.md has a row for each, with its type and labels; and for no other."""
    rows = re.findall(
        r"^\| `(speedo_trio\w*)` \| (\w+) \| (?:`(\w+)`)?", PAGE.read_text("utf-8"), re.MULTILINE
    )
    suffix = {"counter": "_total", "info": "_info"}
    expected = [
        (
            family.name + suffix.get(family.type, ""),
            family.type,
            next(
                (name for name in family.samples[0].labels if name in ("limit", "cause")),
                "",
            ),
        )
        for family in found(measured()).values()
    ]

    assert sorted(rows) == sorted(
        (name, kind, "version" if kind == "info" else label) for name, kind, label in expected
    )


def test_every_metric_has_a_help_text() -> None:
    """A sentence."""
    assert all(family.documentation.endswith(".") for family in found(measured()).values())
