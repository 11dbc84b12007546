"""Finding protocols: by a shipped name, a plugin's, or a path."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from speedo_trio.cli.mistakes import Mistake
from speedo_trio.cli.protocols import find_factory, load
from speedo_trio.echo import EchoProtocol
from speedo_trio.sinks import DiscardProtocol, LogProtocol

NO_FORM = "is no protocol; allowed is a name or package.module:Factory"


@pytest.fixture(autouse=True)
def path(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test adds to the path is gone after it."""
    monkeypatch.setattr(sys, "path", [*sys.path])


@pytest.mark.parametrize(
    ("name", "factory"),
    [("echo", EchoProtocol), ("discard", DiscardProtocol), ("log", LogProtocol)],
)
def test_shipped(name: str, factory: object, plugin: Path) -> None:
    """They have their names, and no plugin can take them."""
    assert find_factory(name) is factory


def test_a_plugin(plugin: Path) -> None:
    """It has the name of its entry point."""
    factory = find_factory("shout")

    assert getattr(factory, "__name__", None) == "Shout"


def test_a_name_of_two_plugins(plugin: Path) -> None:
    """Neither is chosen; the line tells how to choose."""
    other = plugin / "other-2.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 2\n")
    (other / "entry_points.txt").write_text("[speedo_trio.protocols]\nshout = other:Shout\n")
    with pytest.raises(Mistake) as caught:
        find_factory("shout")

    assert str(caught.value) == (
        "several plugins are called shout; give one of these paths: "
        "other:Shout of other 2, shouting:Shout of shout-plugin 1.5"
    )


def test_an_unknown_name_lists_what_there_is(plugin: Path) -> None:
    """Plugins too, each name once."""
    with pytest.raises(Mistake) as caught:
        find_factory("shoot")

    assert str(caught.value) == (
        "unknown protocol 'shoot'; did you mean shout? "
        "There are discard, echo, log, mqtt, simplepub, broken, shout and package.module:Factory"
    )


MODULE = """
from functools import partial
from speedo_trio.protocol.framed import LineProtocol
from speedo_trio.echo import EchoProtocol
number = 3
class Outer:
    Inner = EchoProtocol
class Half(LineProtocol):
    pass
"""


def test_a_path_through_attributes() -> None:
    """Anything that the module holds, however deep."""
    Path("here_module.py").write_text(MODULE)

    assert find_factory("here_module:Outer.Inner") is EchoProtocol


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("here_module:Huter", "there is no Huter in here_module:Huter; did you mean Outer?"),
        ("here_module:Outer.x", "there is no x in here_module:Outer.x"),
        ("here_module:number", "here_module:number is of type int; allowed is a callable"),
        ("here_module:Half", "here_module:Half is abstract: it does not define frame"),
        (
            "no_module:X",
            "cannot import no_module: ModuleNotFoundError: No module named 'no_module'",
        ),
        (":X", f"':X' {NO_FORM}"),
        ("x:", f"'x:' {NO_FORM}"),
        ("tcp://localhost:1", f"'tcp://localhost:1' {NO_FORM}"),
    ],
)
def test_mistakes(target: str, text: str) -> None:
    """Each is told before anything listens."""
    Path("here_module.py").write_text(MODULE)
    sys.modules.pop("here_module", None)
    sys.path.insert(0, str(Path.cwd()))
    with pytest.raises(Mistake) as caught:
        find_factory(target)

    assert str(caught.value).startswith(text)


def test_a_module_that_is_not_there() -> None:
    """No line is blamed, for none is wrong."""
    with pytest.raises(Mistake) as caught:
        find_factory("no_module:X")

    assert str(caught.value) == (
        "cannot import no_module: ModuleNotFoundError: No module named 'no_module'"
    )


def test_the_cause_is_the_modules_own_error() -> None:
    """For who wants the traceback."""
    Path("exits.py").write_text("raise SystemExit('no')")
    sys.path.insert(0, str(Path.cwd()))
    with pytest.raises(
        Mistake, match=r"cannot import exits: SystemExit: no \(.*exits.py:1\)"
    ) as caught:
        load("exits:X")

    assert isinstance(caught.value.__cause__, SystemExit)
