"""Running a load: signals, what is printed, and the exit status.

The first SIGINT or SIGTERM ends the load early; what was measured until then is reported.
"""

from __future__ import annotations

import gc
import resource
import signal
import sys
from typing import TYPE_CHECKING, TypeAlias

import trio

from speedo_trio.cli.bench.connector import make_connector
from speedo_trio.cli.bench.failure import Failure
from speedo_trio.cli.bench.load import Load
from speedo_trio.cli.bench.mqtt.load import MQTTLoad
from speedo_trio.cli.bench.mqtt.report import mqtt_json_report, mqtt_text_report
from speedo_trio.cli.bench.progress import show_progress
from speedo_trio.cli.bench.report import json_report, text_report
from speedo_trio.cli.mistakes import Mistake
from speedo_trio.cli.output import complain, say

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from speedo_trio.cli.bench.course import Course
    from speedo_trio.cli.bench.plan import Plan

AnyLoad: TypeAlias = "Load | MQTTLoad"

RIGHT, CANNOT_CONNECT, ERRORS, INTERRUPTED = 0, 1, 3, 130
"""The exit statuses of ``bench``; a mistake in its arguments is 2, as everywhere. 130 is a signal
before there was anything to report."""

_SPARE_FILES = 32
"""Descriptors that are open beside the clients' connections: fewer than ten, and some room."""


def run_bench(plan: Plan) -> int:
    """Put the load on, print the results; returns the exit status.

    Raises:
        Mistake: something that the plan needs is not there.
    """
    connector = make_connector(plan)
    allow_files((2 if plan.target.mqtt else 1) * plan.clients + _SPARE_FILES)
    _tune_collector()
    load = MQTTLoad(plan, connector) if plan.target.mqtt else Load(plan, connector)
    failure = trio.run(_run, load)
    if failure is not None:
        complain(f"cannot connect to {plan.target}: {failure}")
        return CANNOT_CONNECT
    return _tell(load.course)


def allow_files(needed: int) -> None:
    """Have the system let this process open so many files.

    Raises:
        Mistake: it may not.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        limit = f"this process may open {hard} files (ulimit -n)"
        raise Mistake(f"so many clients need {needed} open files; {limit}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _tune_collector() -> None:
    """Have the garbage collector look less often, and never at what was imported.

    It would look after every 700 requests in flight more, in vain: they hold no cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000)


async def _run(load: AnyLoad) -> Failure | None:
    """Run the load; the failure when nothing can be connected to."""
    failure: Failure | None = None
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_obey, signals, load)
            if _watched(load.course.plan):
                nursery.start_soon(show_progress, load.course)
            try:
                await load.run()
            except Failure as error:
                failure = error
            nursery.cancel_scope.cancel()
    return failure


async def _obey(signals: AsyncIterator[int], load: AnyLoad) -> None:
    async for _ in signals:
        load.interrupt()


def _watched(plan: Plan) -> bool:
    quiet = plan.quiet or plan.json
    return not quiet and sys.stderr is not None and sys.stderr.isatty()


def _tell(course: Course) -> int:
    if course.interrupted and not course.tally.seconds:
        complain("interrupted before anything was measured")
        return INTERRUPTED
    if course.plan.json:
        say(mqtt_json_report(course) if course.plan.target.mqtt else json_report(course))
    else:
        encoding = getattr(sys.stdout, "encoding", None) or ""
        report = mqtt_text_report if course.plan.target.mqtt else text_report
        say(report(course, blocks=encoding.lower().startswith("utf")))
    return RIGHT if course.tally.faultless else ERRORS
