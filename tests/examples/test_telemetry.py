"""OpenTelemetry: spans and metrics out of events."""

from __future__ import annotations

from functools import partial
from types import ModuleType

import trio
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from speedo_trio import EchoProtocol, Limits, LineProtocol, Message, Server, serve
from speedo_trio.config import Config
from tests.examples.conftest import EXAMPLES, Connect, Start


class Told:
    """What was exported."""

    def __init__(self, example: ModuleType) -> None:
        self.spans = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        tracers = TracerProvider()
        tracers.add_span_processor(SimpleSpanProcessor(self.spans))
        meters = MeterProvider([self._reader])
        self.observer = example.Telemetry(tracers.get_tracer("test"), meters.get_meter("test"))

    def points(self, name: str) -> list[tuple[float, dict[str, object]]]:
        """The value (of a histogram, the count) and attributes of each point of a metric."""
        data = self._reader.get_metrics_data()
        assert data is not None
        metrics = data.resource_metrics[0].scope_metrics[0].metrics
        (metric,) = [metric for metric in metrics if metric.name == name]
        return [
            (
                point.value if hasattr(point, "value") else point.count,
                dict(point.attributes or {}),
            )
            for point in metric.data.data_points
        ]


class Failing(Message):
    """Raises."""

    def execute(self) -> bytes:
        raise RuntimeError("went wrong")


class FailingProtocol(LineProtocol):
    """Every line raises."""

    def frame(self, line: bytes) -> Message:
        return Failing()


async def test_a_connection_is_a_span(
    example: ModuleType, connect: Connect, nursery: trio.Nursery
) -> None:
    """From its opening to its end, with what it did."""
    told = Told(example)
    start = partial(serve, EchoProtocol, "tcp://127.0.0.1:0", observer=told.observer)
    server: Server = await nursery.start(start)
    async with connect(server.addresses[0].port) as peer:
        assert await peer.ask(b"one\ntwo\n") == b"one\ntwo\n"
    await server.drain()

    (span,) = told.spans.get_finished_spans()
    assert span.name == "connection"
    assert span.attributes is not None
    assert span.attributes["network.peer.address"] == "127.0.0.1"
    assert span.attributes["messages"] == 2
    assert span.status.is_ok or span.status.is_unset
    assert told.points("speedo_trio.connections") == [(0, {})]
    assert told.points("speedo_trio.messages") == [(2, {})]
    assert told.points("speedo_trio.connection.duration") == [(1, {"cause": "EOF"})]


async def test_an_error_is_the_spans(
    example: ModuleType, connect: Connect, nursery: trio.Nursery
) -> None:
    """A message that raises is told on the span, which fails."""
    told = Told(example)
    start = partial(serve, FailingProtocol, "tcp://127.0.0.1:0", observer=told.observer)
    server: Server = await nursery.start(start)
    async with connect(server.addresses[0].port) as peer:
        assert await peer.ask(b"one\n") == b""
    await server.drain()

    (span,) = told.spans.get_finished_spans()
    assert not span.status.is_ok
    assert "went wrong" in str(span.status.description)
    assert [event.name for event in span.events] == ["ConnectionFailed"]


async def test_refused_peers_are_counted(
    example: ModuleType, connect: Connect, nursery: trio.Nursery
) -> None:
    """By the limit that they met."""
    told = Told(example)
    config = Config(limits=Limits(connections=1, when_full="refuse"))
    start = partial(serve, EchoProtocol, "tcp://127.0.0.1:0", config=config, observer=told.observer)
    server: Server = await nursery.start(start)
    async with connect(server.addresses[0].port) as first:
        await first.say("hello")
        assert await first.hear() == "hello"
        async with connect(server.addresses[0].port) as second:
            assert await second.rest() == b""
    await server.drain()

    assert told.points("speedo_trio.connections.refused") == [(1, {"limit": "limits.connections"})]


async def test_the_program_exports_at_its_end(start: Start, connect: Connect) -> None:
    """Both exporters tell what is left when it is interrupted."""
    async with start(str(EXAMPLES / "telemetry.py"), "tcp://127.0.0.1:0") as program:
        async with connect(program.port) as peer:
            assert await peer.ask(b"one\n") == b"one\n"
        status, printed = await program.drain()

    assert status == 0
    assert '"name": "connection"' in printed
    assert "speedo_trio.connection.duration" in printed
