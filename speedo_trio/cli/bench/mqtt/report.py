"""The report of a load on a broker, as text or as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from speedo_trio.cli.bench.bars import bars
from speedo_trio.cli.bench.report import (
    buckets,
    connects,
    errors,
    latencies,
    layout,
    microseconds,
    told_errors,
)
from speedo_trio.cli.bench.units import megabytes

if TYPE_CHECKING:
    from speedo_trio.cli.bench.course import Course
    from speedo_trio.cli.bench.plan import Plan
    from speedo_trio.cli.bench.tally import Tally


def mqtt_text_report(course: Course, *, blocks: bool) -> str:
    """The results in lines of less than 80 columns, but for the title and what errors say.

    Args:
        course: A load that has ended.
        blocks: whether who reads can show the block characters of Unicode.
    """
    plan, tally = course.plan, course.tally
    rows = [("messages", f"{tally.counted.replies:,} in {tally.seconds:.2f} s")]
    rows.append(("", _throughput(tally)))
    rows += [("latency", text) for text in latencies(tally.latencies)]
    rows += [("connect", text) for text in connects(tally)]
    rows += [("errors", text) for text in errors(tally)]
    lines = [_title(plan), "", *layout(rows)]
    if course.interrupted:
        lines.append("interrupted: what was on its way is not missed")
    if plan.histogram and tally.latencies.count:
        lines += ["", "latency from messages", *bars(tally.latencies, blocks=blocks)]
    return "\n".join(lines)


def _title(plan: Plan) -> str:
    version = "5.0" if plan.version == 5 else "3.1.1"
    what = f"QoS {plan.qos or 0}, MQTT {version}, {plan.line_bytes} bytes"
    return f"{plan.target}: {plan.shape_name} of {plan.clients}, {plan.window} each, {what}"


def _throughput(tally: Tally) -> str:
    delivered = f"{tally.per_second(tally.counted.replies):,.0f} a second delivered"
    published = f"{tally.per_second(tally.counted.requests):,.0f} published"
    received = megabytes(tally.per_second(tally.counted.bytes_received))
    return f"{delivered}, {published}, {received}/s received"


def mqtt_json_report(course: Course) -> str:
    """The results as one JSON object. Times are microseconds, but for how long was measured."""
    plan, tally = course.plan, course.tally
    results: dict[str, object] = {
        "target": str(plan.target),
        "shape": plan.shape_name,
        "clients": plan.clients,
        "window": plan.window,
        "qos": plan.qos or 0,
        "protocol_version": "5.0" if plan.version == 5 else "3.1.1",
        "payload_bytes": plan.line_bytes,
        "seconds": round(tally.seconds, 6),
        "interrupted": course.interrupted,
        "published": tally.counted.requests,
        "delivered": tally.counted.replies,
        "delivered_per_s": round(tally.per_second(tally.counted.replies), 1),
        "bytes_sent": tally.counted.bytes_sent,
        "bytes_received": tally.counted.bytes_received,
        "latency_us": microseconds(tally.latencies),
        "connect_us": microseconds(tally.connects),
        "errors": told_errors(tally),
    }
    if plan.histogram:
        results["histogram"] = buckets(tally.latencies, "messages")
    return json.dumps(results, indent=2)
