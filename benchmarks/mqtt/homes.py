"""Homes: where each peer from a registry is installed, apart from all others and from this project.

The peers' dependencies clash with one another's, so each has a directory of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from pathlib import Path

from attrs import frozen

INSTALL_SECONDS = 300


def homes_folder() -> Path:
    """Where the homes are: the user's cache, which may be deleted at any time."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache, "speedo_trio", "bench")


@frozen(kw_only=True)
class Home(ABC):
    """A directory in which a package is installed, or not yet.

    Attributes:
        package: As its registry calls it.
        beside: What is installed with it.
    """

    package: str
    beside: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Its directory."""
        return homes_folder() / self.package

    @property
    @abstractmethod
    def version(self) -> str | None:
        """The installed version; None when it isn't installed."""

    @abstractmethod
    def install(self) -> str | None:
        """Install the newest version; what was said when that failed."""


@frozen(kw_only=True)
class PythonHome(Home):
    """A virtual environment of this Python."""

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def version(self) -> str | None:
        name = self.package.replace("-", "_")
        found = list(self.folder.glob(f"lib/python*/site-packages/{name}-*.dist-info"))
        return found[0].name.removesuffix(".dist-info").rpartition("-")[2] if found else None

    def install(self) -> str | None:
        made = _run([sys.executable, "-m", "venv", "--clear", str(self.folder)])
        pip = [str(self.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        return made or _run([*pip, self.package, *self.beside])


@frozen(kw_only=True)
class NodeHome(Home):
    """A directory with `node_modules`."""

    @property
    def version(self) -> str | None:
        try:
            told = (self.folder / "node_modules" / self.package / "package.json").read_text()
        except OSError:
            return None
        return str(json.loads(told)["version"])

    def install(self) -> str | None:
        npm = shutil.which("npm")
        if npm is None:
            return "npm is not installed"
        self.folder.mkdir(parents=True, exist_ok=True)
        where = ["--prefix", str(self.folder), "--no-save", "--silent"]
        return _run([npm, "install", *where, self.package, *self.beside])


def _run(command: list[str]) -> str | None:
    """Run an installer; the last that it said when it failed."""
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"not installed after {INSTALL_SECONDS} s"
    if not result.returncode:
        return None
    lines = [line.strip() for line in (result.stdout + result.stderr).splitlines() if line.strip()]
    errors = [line for line in lines if line.upper().startswith("ERROR")]
    return (errors or lines or ["it failed"])[-1]
