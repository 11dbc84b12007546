"""The endpoint: the admin site as a protocol, for a server beside the one that it tells of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define

from speedo_trio.admin.guard import Guard
from speedo_trio.admin.request import BadRequest, Request
from speedo_trio.admin.response import Response, error_response
from speedo_trio.admin.site import Site
from speedo_trio.config import Config, Limits, Timeouts, Workers
from speedo_trio.protocol.handler import ProtocolHandler
from speedo_trio.protocol.message import Message

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from speedo_trio.admin.parser import RequestParser
    from speedo_trio.meter import Meter
    from speedo_trio.protocol.handler import Connection
    from speedo_trio.protocol.report import Reporter
    from speedo_trio.server import Server

ADMIN_CONFIG = Config(
    limits=Limits(
        connections=100,
        when_full="refuse",
        backlog=128,
        read_bytes=4096,
        lane_messages=16,
        lane_bytes=65_536,
        messages=1024,
        bytes=4_194_304,
        unsent_bytes=1_048_576,
    ),
    timeouts=Timeouts(
        handshake=10.0, first_message=10.0, idle=60.0, lifetime=600.0, write=10.0, grace=1.0
    ),
    workers=Workers(count=1, tasks=1),
)
"""Settings for a server that serves an `Admin`: small ones, so that whoever floods it can't take
much from the server it tells of. One request is answered at a time."""


class Admin:
    """Tells of a server over HTTP: a page, JSON, health and metrics. It changes nothing.

    It is served like any protocol, by a server of its own in the same Trio run::

        server = await nursery.start(serve, EchoProtocol, "tcp://:9292")
        admin = partial(serve, Admin(server), "tcp://localhost:9293", config=ADMIN_CONFIG)
        await nursery.start(admin)

    It goes on to answer while `server` drains and after that has ended.
    """

    def __init__(
        self,
        server: Server,
        *,
        token: str | None = None,
        meter: Meter | None = None,
        hosts: Iterable[str] = (),
        reporters: Iterable[Reporter] = (),
    ) -> None:
        """To be made on the Trio thread, when the server starts: its uptime counts from now.

        Args:
            server: what to tell of.
            token: what clients must know; printable ASCII without blanks. Without one, who can
                connect is answered, if the Host header names a loopback address, ``localhost``,
                or the address that the client connected to: so no web page can ask by means of
                a browser.
            meter: what was given to `serve` for `server`, to tell how long things took.
            hosts: more names that the Host header may have, without ports.
            reporters: protocols that tell of themselves, such as an `MQTT`.

        Raises:
            ConfigError: the token is not allowed.
            ImportError: h11 is not installed.
        """
        try:
            from speedo_trio.admin.parser import RequestParser  # noqa: PLC0415  # it is an extra
        except ModuleNotFoundError as error:
            raise ImportError(
                f"the admin endpoint needs {error.name}: pip install 'speedo_trio[admin]'"
            ) from error
        self._make_parser = RequestParser
        self._site = Site(server, meter, Guard(token=token, hosts=hosts), tuple(reporters))

    def __call__(self, connection: Connection, /) -> ProtocolHandler:
        """The handler of one HTTP client."""
        return _AdminHandler(connection, self._site, self._make_parser())


@define(eq=False)
class _Answer(Message):
    """One request to answer. On the Trio thread, as all that asks a server must be."""

    site: Site
    request: Request
    connection: Connection

    async def execute(self) -> bytes:
        request = self.request
        return self.encode(await self.site.respond(request, self.connection.local))

    def encode(self, response: Response) -> bytes:
        """The response as the request wants it."""
        return response.encode(head=self.request.method == "HEAD", last=self.request.last)


@define(eq=False)
class _Refusal(Message):
    """The last response, to what is no request."""

    status: int

    async def execute(self) -> bytes:
        return error_response(self.status).encode(last=True)


class _AdminHandler(ProtocolHandler):
    """One HTTP client."""

    def __init__(self, connection: Connection, site: Site, parser: RequestParser) -> None:
        super().__init__(connection)
        self._site = site
        self._parser = parser

    def handle(self, data: bytes) -> Iterator[Message]:
        try:
            for request in self._parser.feed(data):
                yield _Answer(self._site, request, self.connection)
                if request.last:
                    self.connection.close()
        except BadRequest as error:
            yield _Refusal(error.status)
            raise

    def eof(self) -> None:
        self._parser.eof()

    def failed(self, message: Message, error: BaseException) -> bytes | None:
        """Answer for a mistake of ours; it is reported all the same."""
        return message.encode(error_response(500)) if isinstance(message, _Answer) else None
