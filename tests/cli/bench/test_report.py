"""Reports: what is measured is told, as text that fits a terminal and as JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from speedo_trio.cli.bench.connector import make_connector
from speedo_trio.cli.bench.course import Course
from speedo_trio.cli.bench.failure import Failure, Kind
from speedo_trio.cli.bench.report import json_report, text_report
from speedo_trio.cli.bench.tally import Volume
from tests.cli.bench.conftest import make_plan

SECOND = 10**9


def make_course(**settings: Any) -> Course:
    """A load that has ended: a million replies in two seconds, after a millisecond each."""
    plan = make_plan("tcp://x:1", **settings)
    course = Course(plan, make_connector(plan))
    tally = course.tally
    tally.begin(5 * SECOND, connects=False)
    tally.volume = Volume(
        requests=1_000_002, replies=1_000_000, bytes_sent=64_000_128, bytes_received=64_000_000
    )
    tally.latencies.record(1_000_000, 999_000)
    tally.latencies.record(3_000_000, 1_000)
    tally.connects.record(200_000, 2)
    tally.end(7 * SECOND)
    return course


def test_the_text() -> None:
    """What was asked for, then what came of it."""
    assert text_report(make_course(), blocks=True).splitlines() == [
        "tcp://x:1: 2 clients, 1 in flight each, echo of 64-byte lines",
        "",
        "replies   1,000,000 in 2.00 s",
        "          500,000 a second, 32.0 MB/s each way",
        "latency   min   1.00 ms   mean  1.00 ms   max   3.00 ms",
        "          p50   1.00 ms   p90   1.00 ms   p99   1.00 ms   p99.9 1.00 ms",
        "connect   2 connections",
        "          min    200 µs   mean   200 µs   max    200 µs",
        "          p50    200 µs   p90    200 µs   p99    200 µs   p99.9  200 µs",
        "errors    none",
    ]


def test_errors_are_told_with_their_first() -> None:
    """The most frequent kind first, then what got no reply."""
    course = make_course()
    course.tally.fail(Failure(Kind.RESET, "Connection reset by peer"))
    course.tally.fail(Failure(Kind.EOF, "the server ended the connection"), 1200)
    course.tally.lost = 1

    assert text_report(course, blocks=True).splitlines()[-3:] == [
        "errors    1,200 × EOF; the first: the server ended the connection",
        "          1 × reset; the first: Connection reset by peer",
        "          1 request without a reply",
    ]


def test_a_schedule_is_compared_with_what_was_sent() -> None:
    """Who asked for more than there was sees it."""
    course = make_course(rate=750_000.5)
    course.unsent = 499_999

    assert (
        "schedule  500,001 a second sent, 750,000.5 asked for; 499,999 were due and not sent\n"
        in text_report(course, blocks=True)
    )


def test_other_requests_than_echoes() -> None:
    """Both directions have their volume."""
    course = make_course(send="GET x", connect_each=True)
    course.tally.counted.bytes_sent = 12_000_000
    first, _, _, volume, *_ = text_report(course, blocks=True).splitlines()

    assert first == "tcp://x:1: 2 clients, a connection for each request, 6-byte requests"
    assert volume == "          500,000 a second, 6.00 MB/s sent, 32.0 MB/s received"


def test_nothing_at_all() -> None:
    """No reply and no connection that could be measured is no error of the report's."""
    plan = make_plan("tcp://x:1", histogram=True)
    course = Course(plan, make_connector(plan), interrupted=True)
    course.tally.begin(5, connects=True)
    course.tally.end(5)
    text = text_report(course, blocks=True)

    assert "latency   nothing was answered\nconnect   0 connections\nerrors    none\n" in text
    assert text.endswith("interrupted: nothing that was in flight is counted")
    assert json.loads(json_report(course))["latency_us"] is None


def test_the_histogram_is_there_when_asked_for() -> None:
    """Below everything, with a heading."""
    text = text_report(make_course(histogram=True), blocks=False)

    assert text.splitlines()[10:13] == [
        "",
        "latency from  replies",
        f"1.00 ms {'999,000':>14}   99.9%  {'#' * 40}",
    ]
    assert max(map(len, text.splitlines())) < 80


def test_the_json() -> None:
    """Everything that the text tells, by names."""
    course = make_course(rate=10.0)
    course.tally.fail(Failure(Kind.WRONG, "x"), 3)

    assert json.loads(json_report(course)) == {
        "target": "tcp://x:1",
        "clients": 2,
        "window": 1,
        "line_bytes": 64,
        "connect_each": False,
        "rate": 10.0,
        "seconds": 2.0,
        "interrupted": False,
        "requests": 1_000_002,
        "replies": 1_000_000,
        "replies_per_s": 500_000.0,
        "bytes_sent": 64_000_128,
        "bytes_received": 64_000_000,
        "latency_us": pytest.approx(
            {
                "count": 1_000_000,
                "min": 1000.0,
                "mean": 1002.0,
                "max": 3000.0,
                "p50": 1000.0,
                "p90": 1000.0,
                "p99": 1000.0,
                "p99.9": 1000.0,
            },
            rel=0.005,  # what the histogram promises
        ),
        "connect_us": {
            "count": 2,
            **dict.fromkeys(("min", "mean", "max", "p50", "p90", "p99", "p99.9"), 200.0),
        },
        "errors": {"wrong reply": {"count": 3, "first": "x"}},
        "lost": 0,
        "unsent": 0,
    }


def test_the_json_has_the_histogram_when_asked_for() -> None:
    """Each bucket that holds anything, with its borders."""
    rows = json.loads(json_report(make_course(histogram=True)))["histogram"]

    assert [row["replies"] for row in rows] == [999_000, 1_000]
    assert rows[0]["from_us"] <= 1000 < rows[0]["to_us"]
