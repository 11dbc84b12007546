"""The report: what a load has measured, as text or as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from speedo_trio.cli.bench.bars import bars
from speedo_trio.cli.bench.units import duration, megabytes
from speedo_trio.events import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from speedo_trio.cli.bench.course import Course
    from speedo_trio.cli.bench.histogram import Histogram
    from speedo_trio.cli.bench.plan import Plan
    from speedo_trio.cli.bench.tally import Tally

_PERCENTILES = (50, 90, 99, 99.9)


def text_report(course: Course, *, blocks: bool) -> str:
    """The results in lines of less than 80 columns, but for what a wrong reply says.

    Args:
        course: A load that has ended.
        blocks: whether who reads can show the block characters of Unicode.
    """
    plan, tally = course.plan, course.tally
    rows = [("replies", _volume(tally)), ("", _throughput(tally))]
    if plan.rate is not None:
        rows.append(("schedule", _schedule(course)))
    rows += [("latency", text) for text in latencies(tally.latencies)]
    rows += [("connect", text) for text in connects(tally)]
    rows += [("errors", text) for text in errors(tally)]
    lines = [_title(plan), "", *layout(rows)]
    if course.interrupted:
        lines.append("interrupted: nothing that was in flight is counted")
    if plan.histogram and tally.latencies.count:
        lines += ["", "latency from  replies", *bars(tally.latencies, blocks=blocks)]
    return "\n".join(lines)


def layout(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Rows as lines; a name that is that of the row above is not said again."""
    shown = ""
    for name, text in rows:
        yield f"{'' if name == shown else name:<10}{text}"
        shown = name or shown


def _title(plan: Plan) -> str:
    clients = counted(plan.clients, "client")
    if plan.connect_each:
        return f"{plan.target}: {clients}, a connection for each request, {_said(plan)}"
    return f"{plan.target}: {clients}, {plan.window} in flight each, {_said(plan)}"


def _said(plan: Plan) -> str:
    if plan.send is None:
        return f"echo of {plan.line_bytes}-byte lines"
    return f"{plan.line_bytes}-byte requests"


def _volume(tally: Tally) -> str:
    return f"{tally.counted.replies:,} in {tally.seconds:.2f} s"


def _throughput(tally: Tally) -> str:
    volume = tally.counted
    replies = f"{tally.per_second(volume.replies):,.0f} a second"
    sent = megabytes(tally.per_second(volume.bytes_sent))
    received = megabytes(tally.per_second(volume.bytes_received))
    if sent == received:
        return f"{replies}, {sent}/s each way"
    return f"{replies}, {sent}/s sent, {received}/s received"


def _schedule(course: Course) -> str:
    tally = course.tally
    sent = f"{tally.per_second(tally.counted.requests):,.0f} a second sent"
    asked = f"{course.plan.rate:,.10g} asked for"
    behind = f"; {course.unsent:,} were due and not sent" if course.unsent else ""
    return f"{sent}, {asked}{behind}"


def latencies(times: Histogram) -> Iterator[str]:
    """Extremes and percentiles."""
    if not times.count:
        yield "nothing was answered"
        return
    extremes = (("min", times.least), ("mean", times.mean), ("max", times.most))
    yield _row(extremes)
    yield _row([(f"p{percent:g}", times.percentile(percent)) for percent in _PERCENTILES])


def _row(times: Iterable[tuple[str, float]]) -> str:
    return "   ".join(f"{name:<5} {duration(time):>7}" for name, time in times)


def connects(tally: Tally) -> Iterator[str]:
    """How many there were, and how long they took."""
    yield counted(tally.connects.count, "connection")
    if tally.connects.count:
        yield from latencies(tally.connects)


def errors(tally: Tally) -> Iterator[str]:
    """Each kind, and the first of it."""
    for kind, count in tally.failures.most_common():
        yield f"{count:,} × {kind}; the first: {tally.examples[kind]}"
    if tally.lost:
        yield f"{counted(tally.lost, 'request')} without a reply"
    if tally.faultless:
        yield "none"


def json_report(course: Course) -> str:
    """The results as one JSON object. Times are microseconds, but for how long was measured."""
    plan, tally = course.plan, course.tally
    results: dict[str, object] = {
        "target": str(plan.target),
        "clients": plan.clients,
        "window": plan.window,
        "line_bytes": plan.line_bytes,
        "connect_each": plan.connect_each,
        "rate": plan.rate,
        "seconds": round(tally.seconds, 6),
        "interrupted": course.interrupted,
        "requests": tally.counted.requests,
        "replies": tally.counted.replies,
        "replies_per_s": round(tally.per_second(tally.counted.replies), 1),
        "bytes_sent": tally.counted.bytes_sent,
        "bytes_received": tally.counted.bytes_received,
        "latency_us": microseconds(tally.latencies),
        "connect_us": microseconds(tally.connects),
        "errors": told_errors(tally),
        "lost": tally.lost,
        "unsent": course.unsent,
    }
    if plan.histogram:
        results["histogram"] = buckets(tally.latencies, "replies")
    return json.dumps(results, indent=2)


def told_errors(tally: Tally) -> dict[str, dict[str, object]]:
    """By kind: how many, and the first."""
    return {
        kind: {"count": count, "first": tally.examples[kind]}
        for kind, count in tally.failures.items()
    }


def buckets(times: Histogram, what: str) -> list[dict[str, float]]:
    """The buckets that hold anything; `what` is what they count."""
    return [
        {"from_us": bucket.low / 1e3, "to_us": bucket.high / 1e3, what: bucket.count}
        for bucket in times
    ]


def microseconds(times: Histogram) -> dict[str, float] | None:
    """None of nothing."""
    if not times.count:
        return None
    figures = {"count": times.count, "min": times.least, "mean": times.mean, "max": times.most}
    figures |= {f"p{percent:g}": times.percentile(percent) for percent in _PERCENTILES}
    return {
        name: figure if name == "count" else round(figure / 1e3, 3)
        for name, figure in figures.items()
    }
