"""The tools: the load generators, compiled, and how long loads last."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from benchmarks.compiled import compiled

if TYPE_CHECKING:
    from collections.abc import Iterator

_HERE = Path(__file__).parent


@frozen(kw_only=True)
class Tools:
    """What measures: two programs, and the seconds of a load."""

    mqttload: Path
    mqttcrowd: Path
    seconds: float

    @contextlib.contextmanager
    def with_keep_alive(self, seconds: int) -> Iterator[None]:
        """Let the programs' clients have a keep alive, while the block lasts."""
        os.environ["KEEP_ALIVE"] = str(seconds)
        try:
            yield
        finally:
            del os.environ["KEEP_ALIVE"]


@contextlib.contextmanager
def compiled_tools(seconds: float) -> Iterator[Tools]:
    """The tools, while the block lasts."""
    with (
        compiled(_HERE / "mqttload.c") as mqttload,
        compiled(_HERE / "mqttcrowd.c") as mqttcrowd,
    ):
        yield Tools(mqttload=mqttload, mqttcrowd=mqttcrowd, seconds=seconds)
