"""The plan of an admin endpoint: what the settings ask for, and whether it may be so.

Next: `speedo_trio.cli.admin`, which carries it out.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import evolve, field, frozen

from speedo_trio.admin.guard import Guard, is_loopback
from speedo_trio.cli.mistakes import Mistake
from speedo_trio.errors import ConfigError
from speedo_trio.io.binds import TCPSource, UnixSource, parse_bind

if TYPE_CHECKING:
    from speedo_trio.cli.origins import Origins
    from speedo_trio.cli.settings import Settings

_TOKEN_FILE_BYTES = 4096
"""A token is a line; what is longer is another file."""


@frozen
class AdminPlan:
    """An admin endpoint that is to be."""

    bind: str
    """Where the first process has its own; see `admin_bind`."""
    token: str | None = field(repr=False)
    place: str
    """The flag, variable or key that asked for it."""

    def require_token(self) -> None:
        """Others can reach it.

        Raises:
            Mistake: there is no token.
        """
        if self.token is None:
            raise Mistake(
                f"{self.place}: others can reach {self.bind}, so a token is needed; "
                "set admin_token_file, or listen on localhost or a Unix socket"
            )


def plan_admin(bind: str, settings: Settings, origins: Origins) -> AdminPlan:
    """The admin endpoint that is asked for.

    Args:
        bind: ``settings.admin``, which is not None.
        settings: what else there is to know.
        origins: where the settings came from, for what is wrong with them.

    Raises:
        Mistake: it lacks a token or h11, the token's file can't be used, or there is no room for
            as many as there are processes.
    """
    place = origins.place(("admin",))
    if find_spec("h11") is None:
        raise Mistake(f"{place}: it needs h11: pip install 'speedo_trio[admin]'")
    plan = AdminPlan(bind, _token(settings.admin_token_file, origins), place)
    source = parse_bind(plan.bind).source
    if isinstance(source, TCPSource) and not is_loopback(source.host):
        plan.require_token()
    admin_bind(plan, settings.processes)
    return plan


def _token(path: str | None, origins: Origins) -> str | None:
    """The only line of the token's file, if there is one."""
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


def admin_bind(plan: AdminPlan, child: int) -> str:
    """Where the `child` listens, of several processes that have an admin endpoint each.

    The first has the bind itself, the others the ports or paths that follow: ``:9294``,
    ``/run/admin.sock.2``. A free port (0) is one for each.

    Args:
        plan: where the first one listens.
        child: its number, from 1.

    Raises:
        Mistake: there are not so many ports, or it is a socket that was passed.
    """
    if child == 1:
        return plan.bind
    parsed = parse_bind(plan.bind)
    match parsed.source:
        case TCPSource(port=0):
            return plan.bind
        case TCPSource(port=port) if port + child - 1 > 65_535:
            raise Mistake(f"{plan.place}: no port is left for process {child} after {plan.bind}")
        case TCPSource(port=port) as source:
            return str(evolve(parsed, source=evolve(source, port=port + child - 1)))
        case UnixSource(path=path) as source:
            return str(evolve(parsed, source=evolve(source, path=f"{path}.{child}")))
        case _:
            raise Mistake(f"{plan.place}: {plan.bind} is one socket; each process needs its own")
