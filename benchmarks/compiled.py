"""Load generators in C, compiled when they are needed."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class LoadError(Exception):
    """A measurement that gave no figure; the text is what the load generator said."""


@contextlib.contextmanager
def compiled(source: Path) -> Iterator[Path]:
    """Compile a program of one file into a directory that goes when the block is left.

    Without a C compiler (`$CC`, `cc`, `gcc` or `clang`) the program ends here, saying so.
    """
    compiler = next(filter(None, map(shutil.which, _compilers())), None)
    if compiler is None:
        sys.exit(f"no C compiler for {source.name}: install cc, gcc or clang, or set CC")
    with tempfile.TemporaryDirectory(prefix=f"{source.stem}-") as directory:
        program = Path(directory, source.stem)
        command = [compiler, "-O2", "-o", str(program), str(source)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            sys.exit(f"{source.name} did not compile:\n{result.stderr}")
        yield program


def _compilers() -> list[str]:
    return [*filter(None, [os.environ.get("CC")]), "cc", "gcc", "clang"]


def run_load(command: list[str], seconds: float) -> str:
    """Run a load generator to its end; what it printed.

    Raises:
        LoadError: It complained, or did not end within `seconds`.
    """
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        raise LoadError(f"no end after {seconds:g} s") from None
    check_status(result.returncode, result.stderr)
    return result.stdout


def check_status(status: int, errors: str) -> None:
    """See how a finished load generator ended.

    Raises:
        LoadError: It ended with a status other than 0; its first complaint is the text.
    """
    if status:
        complaints = errors.splitlines() or [f"it ended with status {status}"]
        more = f" (and {len(complaints) - 1} more)" if len(complaints) > 1 else ""
        raise LoadError(complaints[0] + more)
