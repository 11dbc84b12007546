"""Socket activation: the listening sockets that systemd passes to a process (sd_listen_fds(3)).

systemd, or whoever does as it does, leaves them at the descriptors from 3 on and tells in the
environment how many there are, for which process, and under which names. They are taken once for
the whole process; the variables are unset, so that no child mistakes them for its own.
"""

from __future__ import annotations

import os

from attrs import define

from speedo_trio.errors import BindError

_FIRST = 3
"""The first descriptor that is passed: 0 to 2 are the standard streams (sd_listen_fds(3))."""

_NAMELESS = "unknown"
"""The name of sockets that were passed without names (sd_listen_fds_with_names(3))."""


@define
class _Passed:
    """What was passed and nobody has taken yet, by descriptor."""

    names: dict[int, str] | None = None
    """None: the environment has not been read yet."""


_passed = _Passed()


def passed_descriptors(name: str = "") -> list[int]:
    """Take the descriptors that were passed under a name, or all that are left without one.

    Raises:
        BindError: there are none; the text tells what was passed.
    """
    if _passed.names is None:
        _passed.names = _read_environment()
    left = _passed.names
    taken = [number for number, its_name in left.items() if name in ("", its_name)]
    if not taken and not name:
        raise BindError("no passed socket is left that is not taken yet")
    if not taken:
        names = ", ".join(map(repr, left.values())) or "nothing that is not taken yet"
        raise BindError(f"none of the passed sockets is called {name!r}; passed was {names}")
    for number in taken:
        del left[number]
    return taken


def _read_environment() -> dict[int, str]:
    """The descriptors that were passed to this process, and their names."""
    process, count = os.environ.get("LISTEN_PID"), os.environ.get("LISTEN_FDS")
    names = os.environ.get("LISTEN_FDNAMES")
    if process is None or count is None:
        raise BindError(
            "no sockets were passed: LISTEN_PID and LISTEN_FDS are not both set; "
            "a .socket unit or systemd-socket-activate sets them"
        )
    if process != str(os.getpid()):
        raise BindError(f"LISTEN_PID is {process}, but this process is {os.getpid()}")
    if not count.isascii() or not count.isdecimal() or len(count) > 6:
        raise BindError(f"LISTEN_FDS is {count!r}; allowed is a number of sockets")
    numbers = range(_FIRST, _FIRST + int(count))
    called = [_NAMELESS] * len(numbers) if names is None else names.split(":")
    if len(called) != len(numbers):
        raise BindError(f"LISTEN_FDNAMES has {len(called)} names for {len(numbers)} sockets")
    for variable in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        os.environ.pop(variable, None)
    return dict(zip(numbers, called, strict=True))
