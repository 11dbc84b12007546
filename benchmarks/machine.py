"""The machine that figures come from, without its name."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.contenders import Program


@frozen(kw_only=True)
class Machine:
    """What a reader must know before comparing figures with their own."""

    system: str
    processor: str
    cores: int
    load_average: float
    python: str
    versions: dict[str, str]

    def __str__(self) -> str:
        versions = ", ".join(f"{package} {version}" for package, version in self.versions.items())
        return (
            f"{self.system}, {self.processor}, {self.cores} usable cores, "
            f"load average {self.load_average:.1f} at the start\n{self.python}: {versions}"
        )


def this_machine(contenders: Iterable[Program]) -> Machine:
    """Describe this machine and the versions of what is compared."""
    return Machine(
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        load_average=os.getloadavg()[0],
        python=f"{platform.python_implementation()} {platform.python_version()}",
        versions={contender.package: contender.version for contender in contenders},
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown processor"
