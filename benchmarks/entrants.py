"""The contenders that can take part: importable, started once, and seen to echo a line."""

from __future__ import annotations

import sys

from benchmarks.contenders import Contender, chosen
from benchmarks.servers import ServerError, running


def entrants(names: list[str]) -> list[Contender]:
    """The chosen contenders that take part; a note on stderr for each that doesn't."""
    return [contender for contender in chosen(names) if _takes_part(contender)]


def _takes_part(contender: Contender) -> bool:
    try:
        _try_out(contender)
    except ServerError as error:
        print(f"SKIPPED {contender.name}: {error}", file=sys.stderr)
        return False
    return True


def _try_out(contender: Contender) -> None:
    if not contender.importable:
        raise ServerError(f"{contender.package} is not installed")
    with running(contender):
        pass
