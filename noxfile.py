"""The sessions that contributors and CI run. `nox` runs the usual three, `nox -l` lists all."""

from __future__ import annotations

import os
import sys
from itertools import chain
from pathlib import Path

import nox

PROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PROJECT)
CURRENT = f"{sys.version_info.major}.{sys.version_info.minor}"

nox.needs_version = ">=2025.2.9"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "types", f"tests-{CURRENT}" if CURRENT in PYTHONS else "tests"]


def select_pyenv_versions() -> None:
    """Let pyenv, which hides what is not selected, offer the newest release of each Python."""
    installed = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = []
    for python in sorted(PYTHONS, key=lambda python: python != CURRENT):  # the first is `python`
        patches = [path.name.removeprefix(f"{python}.") for path in installed.glob(f"{python}.*")]
        if released := [int(patch) for patch in patches if patch.isdecimal()]:
            found.append(f"{python}.{max(released)}")
    if found:
        os.environ.setdefault("PYENV_VERSION", ":".join(found))


select_pyenv_versions()


def group(name: str) -> tuple[str, ...]:
    """The requirements of a dependency group."""
    return nox.project.dependency_groups(PROJECT, name)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Test the wheel; a Python that the machine lacks is skipped. `nox -s tests -- -k drain`."""
    session.install(".[test]")
    session.run("pytest", *session.posargs)


@nox.session(python=PYTHONS[0])
def minimums(session: nox.Session) -> None:
    """Test with the oldest Python and dependencies that are allowed."""
    project = PROJECT["project"]
    extras = (project["optional-dependencies"][name] for name in ("admin", "metrics"))
    required = [*project["dependencies"], *chain.from_iterable(extras)]
    floors = [requirement.replace(">=", "==") for requirement in required]
    session.install(".[test]", *floors)
    session.run("pytest", *session.posargs)


@nox.session
def coverage(session: nox.Session) -> None:
    """Test and say which lines and branches no test reached."""
    session.install(".[test]", *group("coverage"))
    session.run("coverage", "erase")
    pytest = str(Path(session.bin) / "pytest")
    session.run("coverage", "run", pytest, *session.posargs)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


@nox.session
def lint(session: nox.Session) -> None:
    """Check rules and format; mend with `ruff check --fix` and `ruff format`."""
    session.install(*group("lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Check types with mypy, and that the wheel's public names have all of theirs."""
    session.install(".[test]", *group("types"))
    folders = ("speedo_trio", "tests", "benchmarks", "examples", "docs")
    found = (folder for folder in folders if any(Path(folder).rglob("*.py")))
    session.run("mypy", "pytest_speedo_trio.py", *found)
    session.chdir(session.create_tmp())  # here it would look at the tree
    session.run("pyright", "--verifytypes", "speedo_trio", "--ignoreexternal")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation; a warning or a reference to nothing is an error."""
    if not Path("docs/conf.py").exists():
        session.skip("there is no docs/conf.py")
    session.install(".[test]", *group("docs"))
    session.run("sphinx-build", "-n", "-W", "--keep-going", "docs", "docs/_build/html")


@nox.session
def bench(session: nox.Session) -> None:
    """Measure echo servers and MQTT brokers. `nox -s bench -- mqtt --rounds 3`, or `-- echo`."""
    session.install(".", *group("bench"))
    what, *options = session.posargs or ("",)
    if what not in {"echo", "mqtt"}:
        what, options = "", session.posargs
    if what != "mqtt":
        session.run("python", "-m", "benchmarks.echo", *options)
    if what != "echo":
        session.run("python", "-m", "benchmarks.mqtt", "--install", *options)


@nox.session(python=PYTHONS)
def guard(session: nox.Session) -> None:
    """Count the work of a message; fail if it has grown. `nox -s guard-3.11 -- --renew`."""
    session.install(".", *group("guard"))
    session.run("python", "-m", "benchmarks.guard", *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """Run the long tests in full: a million messages, half a minute of load on the broker."""
    session.install(".[test]")
    session.run("pytest", "-m", "soak", *session.posargs, env={"SPEEDO_SOAK": "1"})


@nox.session
def fuzz(session: nox.Session) -> None:
    """Send the MQTT broker spoiled streams for five minutes. `nox -s fuzz -- --seconds 60`."""
    session.install(".[test]")
    session.run("python", "-m", "tests.mqtt.fuzz", *session.posargs)
