"""The environment: which ``TRIO_SPEEDO_`` variables there are, and that no other is set."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from cyclopts.config import Env

from speedo_trio.cli.mistakes import ALL, Mistake, suggestion

if TYPE_CHECKING:
    from cyclopts import App, Argument, ArgumentCollection

_PREFIX = "TRIO_SPEEDO_"

_FOREIGN = re.compile(
    r"SERVICE_HOST=.*|SERVICE_PORT(_\w+)?=.*|PORT=\w+://.*"
    r"|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?=.*",
    re.DOTALL,
)
"""What Kubernetes sets in every container beside a service that is called "trio-speedo"
(https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables)."""

_add = Env(_PREFIX, command=False)


def add_variables(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Give the values of variables to those arguments that have none yet.

    Raises:
        Mistake: a variable with our prefix is no setting, or is empty.
    """
    if not arguments:
        return  # a command without settings
    known = [variable(argument)[len(_PREFIX) :] for argument in arguments if not argument.children]
    for name, value in os.environ.items():
        if name.startswith(_PREFIX):
            _check(name[len(_PREFIX) :], value, known)
    _add(app, commands, arguments)


def variable(argument: Argument) -> str:
    """The name of the variable for a flag: TRIO_SPEEDO_LIMITS_CONNECTIONS."""
    return _PREFIX + re.sub("[.-]", "_", argument.name.lstrip("-")).upper()


def _check(name: str, value: str, known: list[str]) -> None:
    if name in known:
        if not value:
            raise Mistake(f"{_PREFIX}{name} is empty; give it a value or unset it")
    elif not _FOREIGN.fullmatch(f"{name}={value}"):
        close = suggestion(name, known).replace("mean ", f"mean {_PREFIX}")
        raise Mistake(f"{_PREFIX}{name} is no setting{close or ALL}")
