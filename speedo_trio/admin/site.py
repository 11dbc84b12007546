"""The site: which path gives what.

==========================  ======================================================================
path                        gives
==========================  ======================================================================
``/``                       a page that shows the status as it changes
``/healthz``                200 as long as the Trio loop runs
``/readyz``                 200, or 503 and the reason while the server takes no connection
``/metrics``                metrics for Prometheus, if prometheus_client is installed
``/status``                 JSON; ``?order=executed`` lists the connections with most of that
``/status/connections/ID``  JSON of one connection
``/status/clients/NAME``    JSON of one client of a protocol that reports; NAME percent-encoded
==========================  ======================================================================

Next: `speedo_trio.admin.endpoint`.
"""

from __future__ import annotations

import re
import time
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote

from speedo_trio.admin.page import page_response
from speedo_trio.admin.peers import LISTED, ORDERS, details, listed
from speedo_trio.admin.response import error_response, json_response, text_response
from speedo_trio.admin.status import server_status, state_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from speedo_trio.admin.guard import Guard
    from speedo_trio.admin.metrics import Metrics
    from speedo_trio.admin.request import Request
    from speedo_trio.admin.response import Response
    from speedo_trio.admin.status import JSONObject
    from speedo_trio.events import Address
    from speedo_trio.meter import Meter
    from speedo_trio.protocol.report import Reporter
    from speedo_trio.server import Server

_METHODS = ("GET", "HEAD")

_NOT_ALLOWED = text_response(
    "only GET and HEAD are allowed here", HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": "GET, HEAD"}
)
_NO_METRICS = text_response(
    "metrics need prometheus_client: pip install 'speedo_trio[metrics]'",
    HTTPStatus.NOT_IMPLEMENTED,
)

_CLIENTS = "/status/clients/"
_CONNECTION = re.compile(r"/status/connections/([0-9]{1,18})")


class Site:
    """Answers requests about one server. All on the Trio thread."""

    def __init__(
        self, server: Server, meter: Meter | None, guard: Guard, reporters: Sequence[Reporter] = ()
    ) -> None:
        self._server = server
        self._reporters = reporters
        self._meter = meter
        self._guard = guard
        self._metrics = _metrics(server, meter)
        self._began = time.monotonic()
        self._pages: dict[str, Callable[[Request], Response]] = {
            "/": self._page,
            "/healthz": self._health,
            "/readyz": self._readiness,
        }

    async def respond(self, request: Request, local: Address) -> Response:
        """The response to a request.

        Args:
            request: what is asked.
            local: our end of the connection that it came over.
        """
        refusal = self._guard.refusal(request, local)
        if refusal is not None:
            return refusal
        if request.method not in _METHODS:
            return _NOT_ALLOWED
        if request.body:
            return error_response(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        return await self._answer(request)

    async def _answer(self, request: Request) -> Response:
        if request.path == "/status":
            return await self._status(request.query)
        if request.path == "/metrics":
            return await self._exposition(request)
        if found := _CONNECTION.fullmatch(request.path):
            return self._details(int(found[1]))
        if request.path.startswith(_CLIENTS):
            return self._client(request.path.removeprefix(_CLIENTS))
        page = self._pages.get(request.path)
        return error_response(HTTPStatus.NOT_FOUND) if page is None else page(request)

    def _page(self, request: Request) -> Response:
        return page_response()

    def _health(self, request: Request) -> Response:
        return text_response("ok")

    def _readiness(self, request: Request) -> Response:
        state = state_of(self._server)
        if state == "serving":
            return text_response("ready")
        return text_response(state, HTTPStatus.SERVICE_UNAVAILABLE)

    async def _exposition(self, request: Request) -> Response:
        if self._metrics is None:
            return _NO_METRICS
        figures = [each for reporter in self._reporters for each in await reporter.report()]
        return self._metrics.response(request.accept, figures)

    async def _status(self, query: str) -> Response:
        order = _order(query)
        if order is None:
            allowed = ", ".join(ORDERS)
            return text_response(f"allowed is ?order= {allowed}", HTTPStatus.BAD_REQUEST)
        connections = await listed(self._server, order)
        uptime = time.monotonic() - self._began
        status = server_status(self._server, self._meter, uptime)
        reports = [await _report(reporter) for reporter in self._reporters]
        return json_response({**status, "order": order, "listed": connections, "reports": reports})

    def _client(self, quoted: str) -> Response:
        try:
            name = unquote(quoted, errors="strict")
        except UnicodeDecodeError:
            return error_response(HTTPStatus.NOT_FOUND)
        for reporter in self._reporters:
            client = reporter.report_client(name)
            if client is not None:
                return json_response(client)
        return error_response(HTTPStatus.NOT_FOUND)

    def _details(self, number: int) -> Response:
        try:
            stats = self._server.connection_stats(number)
        except LookupError:
            return error_response(HTTPStatus.NOT_FOUND)
        return json_response(details(stats))


async def _report(reporter: Reporter) -> JSONObject:
    """What a protocol tells, for the page."""
    figures = await reporter.report()
    return {
        "figures": {each.name: each.value for each in figures},
        "clients": await reporter.report_clients(LISTED),
    }


def _order(query: str) -> str | None:
    """What is to be listed first; None when the query asks for something else."""
    try:
        asked = dict(parse_qsl(query, keep_blank_values=True, max_num_fields=1))
    except ValueError:
        return None
    order = asked.pop("order", "id")
    return order if order in ORDERS and not asked else None


def _metrics(server: Server, meter: Meter | None) -> Metrics | None:
    """None without prometheus_client."""
    try:
        from speedo_trio.admin.metrics import Metrics  # noqa: PLC0415  # it is an extra
    except ModuleNotFoundError:
        return None
    return Metrics(server, meter)
