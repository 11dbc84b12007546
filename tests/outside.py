"""What tests need that pip can't bring: programs of the system, to judge us from outside."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec

import pytest

VARIABLE = "SPEEDO_OUTSIDE"
"""Set to "required", it makes a test fail that lacks what it needs. CI would otherwise be green
for as long as nobody notices that half of the tests don't run."""


def need(*programs: str, modules: tuple[str, ...] = ()) -> None:
    """Skip the test that calls this, or the module, if the machine lacks a program or a module."""
    missing = [program for program in programs if shutil.which(program) is None]
    missing += [f"the Python package {module}" for module in modules if find_spec(module) is None]
    if not missing:
        return
    reason = f"this needs {', '.join(missing)}, which is not installed"
    if os.environ.get(VARIABLE) == "required":
        pytest.fail(f"{reason}, and {VARIABLE}=required", pytrace=False)
    pytest.skip(reason, allow_module_level=True)
