"""OpenTelemetry: a span for each connection, and metrics, out of the server's events.

Shows an observer: a callable that gets every `Event` as it happens, on the Trio thread. Spans and
metrics get the names of OpenTelemetry's semantic conventions where there are any. What is exported
where is the application's choice; here both go to the terminal.

Needs ``pip install opentelemetry-sdk``. Run it with ``python telemetry.py``, talk to it with
``nc localhost 9292``, and end it with Ctrl-C.
"""

from __future__ import annotations

import signal
import sys
from functools import partial

import trio
from opentelemetry.metrics import Meter, set_meter_provider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer

from speedo_trio import (
    Cause,
    ConnectionEnded,
    ConnectionFailed,
    ConnectionOpened,
    ConnectionRefused,
    EchoProtocol,
    Event,
    EventLog,
    MessageFailed,
    Server,
    serve,
)


class Telemetry:
    """An observer that turns events into spans and metrics."""

    def __init__(self, tracer: Tracer, meter: Meter) -> None:
        self._tracer = tracer
        self._spans: dict[int, Span] = {}
        self._open = meter.create_up_down_counter(
            "speedo_trio.connections", unit="{connection}", description="Connections open now"
        )
        self._refused = meter.create_counter(
            "speedo_trio.connections.refused", unit="{connection}", description="By the limit met"
        )
        self._seconds = meter.create_histogram(
            "speedo_trio.connection.duration", unit="s", description="By the cause of the end"
        )
        self._messages = meter.create_counter(
            "speedo_trio.messages", unit="{message}", description="Messages executed"
        )

    def __call__(self, event: Event) -> None:
        match event:
            case ConnectionOpened():
                self._opened(event)
            case ConnectionFailed(reason=reason) | MessageFailed(error=reason):
                if span := self._spans.get(event.connection):
                    span.add_event(type(event).__name__, {"error": str(reason)})
            case ConnectionEnded():
                self._ended(event)
            case ConnectionRefused(why=why):
                self._refused.add(1, {"limit": why.value})
            case _:
                pass  # what concerns the whole server belongs into its log

    def _opened(self, event: ConnectionOpened) -> None:
        attributes: dict[str, str | int] = {
            "network.peer.address": event.peer.host or str(event.peer),
            "network.local.port": event.local.port,
        }
        if event.tls is not None:
            attributes["tls.protocol.version"] = event.tls.version
        self._spans[event.connection] = self._tracer.start_span(
            "connection", kind=SpanKind.SERVER, attributes=attributes
        )
        self._open.add(1)

    def _ended(self, event: ConnectionEnded) -> None:
        self._seconds.record(event.seconds, {"cause": event.reason.cause.name})
        self._messages.add(event.messages)
        span = self._spans.pop(event.connection, None)
        if span is None:
            return  # its handshake failed, so it was never opened
        self._open.add(-1)
        span.set_attributes({"messages": event.messages, "bytes.received": event.received})
        if event.reason.cause is Cause.HANDLER_ERROR:
            span.set_status(Status(StatusCode.ERROR, str(event.reason)))
        span.end()


async def main(*binds: str) -> None:
    """Serve echo, and tell the terminal what happens; until Ctrl-C."""
    spans, metrics = TracerProvider(), MeterProvider([_reader()])
    spans.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter()))
    set_meter_provider(metrics)
    telemetry = Telemetry(spans.get_tracer("speedo_trio"), metrics.get_meter("speedo_trio"))
    log = EventLog()

    def observe(event: Event) -> None:  # more than one observer
        log(event)
        telemetry(event)

    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            server: Server = await nursery.start(
                partial(serve, EchoProtocol, *binds, observer=observe)
            )
            print("serving echo on", *server.addresses, flush=True)
            await anext(signals)
            await server.drain()
    await trio.to_thread.run_sync(spans.shutdown)  # both export what is left, which may block
    await trio.to_thread.run_sync(metrics.shutdown)


def _reader() -> PeriodicExportingMetricReader:
    return PeriodicExportingMetricReader(ConsoleMetricExporter())


if __name__ == "__main__":
    trio.run(main, *(sys.argv[1:] or ["tcp://localhost:9292"]))
