"""The admin endpoint of the command: where it listens, who may ask, and the server that answers."""

from __future__ import annotations

import logging
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import evolve, field, frozen

from speedo_trio.admin.endpoint import ADMIN_CONFIG, Admin
from speedo_trio.admin.guard import Guard, is_loopback
from speedo_trio.cli.mistakes import Mistake
from speedo_trio.errors import ConfigError
from speedo_trio.events import Cause, CloseReason, ConnectionFailed, MessageFailed
from speedo_trio.io.binds import TCPSource, UnixSource, parse_bind
from speedo_trio.logs.event_log import EventLog
from speedo_trio.server import serve

if TYPE_CHECKING:
    import trio

    from speedo_trio.cli.origins import Origins
    from speedo_trio.cli.settings import Settings
    from speedo_trio.events import Address, Event
    from speedo_trio.io.binds import Bind
    from speedo_trio.meter import Meter
    from speedo_trio.server import Server

_TOKEN_FILE_BYTES = 4096
"""A token is a line; what is longer is another file."""

_logger = logging.getLogger("speedo_trio.admin")


@frozen
class AdminPlan:
    """An admin endpoint that is to be."""

    bind: str
    token: str | None = field(repr=False)
    place: str
    """The flag, variable or key that asked for it."""

    def of_child(self, number: int) -> AdminPlan:
        """That of one process of several; see `admin_bind`."""
        return evolve(self, bind=admin_bind(self.bind, number))


def plan_admin(settings: Settings, origins: Origins) -> AdminPlan | None:
    """The admin endpoint that the settings ask for, if they do.

    Raises:
        Mistake: it lacks a token or h11, or the token's file can't be used.
    """
    if settings.admin is None:
        return None
    place = origins.place(("admin",))
    if find_spec("h11") is None:
        raise Mistake(f"{place}: it needs h11: pip install 'speedo_trio[admin]'")
    plan = AdminPlan(settings.admin, _token(settings.admin_token_file, origins), place)
    source = parse_bind(plan.bind).source
    if isinstance(source, TCPSource) and not is_loopback(source.host):
        _require_token(plan)
    admin_bind(plan.bind, settings.processes)
    return plan


def _require_token(plan: AdminPlan) -> None:
    if plan.token is None:
        raise Mistake(
            f"{plan.place}: others can reach {plan.bind}, so a token is needed; "
            "set admin_token_file, or listen on localhost or a Unix socket"
        )


def _token(path: str | None, origins: Origins) -> str | None:
    """The first line of the token's file, if there is one."""
    if path is None:
        return None
    place = origins.place(("admin_token_file",))
    try:
        with Path(path).open("rb") as file:
            content = file.read(_TOKEN_FILE_BYTES)
    except (OSError, ValueError) as error:  # the latter: a path that no system has
        why = getattr(error, "strerror", None) or error
        raise Mistake(f"{place}: cannot read {path}: {why}") from error
    token = content.decode("latin-1").removesuffix("\n").removesuffix("\r")
    try:
        Guard(token=token)
    except ConfigError as error:
        raise Mistake(f"{place}: {path}: {error}") from None
    return token


def admin_bind(bind: str, child: int) -> str:
    """Where the `child` listens, of several processes that have an admin endpoint each.

    The first has the bind itself, the others the ports or paths that follow: ``:9294``,
    ``/run/admin.sock.2``. A free port (0) is one for each.

    Args:
        bind: where the first one listens.
        child: its number, from 1.

    Raises:
        Mistake: there are not so many ports, or it is a socket that was passed.
    """
    if child == 1:
        return bind
    parsed = parse_bind(bind)
    match parsed.source:
        case TCPSource(port=0):
            return bind
        case TCPSource(port=port) if port + child - 1 > 65_535:
            raise Mistake(f"admin: no port is left for process {child} after {bind}")
        case TCPSource(port=port) as source:
            return str(evolve(parsed, source=evolve(source, port=port + child - 1)))
        case UnixSource(path=path) as source:
            return str(evolve(parsed, source=evolve(source, path=f"{path}.{child}")))
        case _:
            raise Mistake(f"admin: {bind} is one socket; it can't do for several processes")


async def start_admin(
    nursery: trio.Nursery, plan: AdminPlan, server: Server, meter: Meter | None
) -> Server:
    """Start the admin endpoint of `server`; it ends when `nursery` is cancelled.

    Raises:
        BindError: it can't listen.
        Mistake: others can reach a socket that was passed, and there is no token.
    """
    admin = Admin(server, token=plan.token, meter=meter, hosts=_hosts(parse_bind(plan.bind)))
    start = partial(serve, admin, plan.bind, config=ADMIN_CONFIG, observer=_observe)
    started: Server = await nursery.start(start)
    if not all(map(_is_local, started.addresses)):
        _require_token(plan)
    return started


def _hosts(bind: Bind) -> tuple[str, ...]:
    return (bind.source.host,) if isinstance(bind.source, TCPSource) else ()


def _is_local(address: Address) -> bool:
    return address.scheme == "unix" or is_loopback(address.host)


def admin_url(address: Address) -> str:
    """The address as browsers and curl want it."""
    text = str(address)
    if address.scheme == "unix":
        return text
    scheme = "https" if address.scheme == "tls" else "http"
    return f"{scheme}{text.removeprefix(address.scheme)}/"


_log = EventLog(_logger)


def _observe(event: Event) -> None:
    """Log our own mistakes as such, and the rest only for those who debug: it isn't the service."""
    match event:
        case MessageFailed() | ConnectionFailed(reason=CloseReason(cause=Cause.HANDLER_ERROR)):
            _log(event)
        case _:
            _logger.debug("%r", event)
