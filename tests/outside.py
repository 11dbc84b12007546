"""What tests need that pip can't bring: programs of the system, to judge us from outside."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

VARIABLE = "SPEEDO_OUTSIDE"
"""Set to "required", it makes a test fail that lacks what it needs. CI would otherwise be green
for as long as nobody notices that half of the tests don't run."""


_FOLDERS = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
"""Where programs are: a user's PATH often lacks the folders where distributions put servers."""


def find(program: str) -> str | None:
    """Where a program is; None if the machine lacks it."""
    return shutil.which(program, path=_FOLDERS)


def need(*programs: str, modules: tuple[str, ...] = (), files: tuple[str, ...] = ()) -> None:
    """Skip the test that calls this, or the module, if the machine lacks one of these."""
    missing = [program for program in programs if find(program) is None]
    missing += [file for file in files if not Path(file).exists()]
    missing += [f"the Python package {module}" for module in modules if find_spec(module) is None]
    if not missing:
        return
    reason = f"this needs {', '.join(missing)}, which is not installed"
    if os.environ.get(VARIABLE) == "required":
        pytest.fail(f"{reason}, and {VARIABLE}=required", pytrace=False)
    pytest.skip(reason, allow_module_level=True)
