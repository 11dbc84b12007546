"""The rules of the house: who may import whom, read from the source, imports for types included."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

import speedo_trio

HOUSE = Path(speedo_trio.__file__).parent

LAYERS = (
    {"__main__"},
    {"cli", "testing"},
    {"mqtt", "simplepub", "echo", "sinks", "admin"},
    {"broker"},
    {"server"},
    {"entrance"},
    {"link"},
    {"accounts"},
    {"house"},
    {"worker"},
    {"io", "protocol", "queue", "pubsub", "stats", "logs"},
    {"config", "events", "meter"},
    {"errors", "isolation"},
)
"""The rooms, from those that nobody may import to those that everybody may. A room imports from
itself and from lower layers only, so the rooms of one layer don't know one another."""

TENANTS = {"mqtt", "simplepub", "echo", "sinks", "admin"}
"""Protocols that come with the house. They use what any user could."""

KNOWN_ONLY_BY = {
    "pubsub": {*TENANTS, "broker", "pubsub"},
    "broker": {*TENANTS, "broker", "cli", "testing"},
    "entrance": {"server"},
    "link": {"server", "entrance"},
    "house": {"server", "entrance", "link", "accounts"},
    "worker": {"server", "link", "house", "worker"},
    "queue": {"server", "link", "house", "worker", "queue"},
    "io.listener": {"server", "entrance", "link"},
    "io.connection": {"link", "house", "accounts"},
}
"""Only the server assembles and only the link introduces: others never see these parts."""

SANS_IO = (
    *("protocol", "pubsub", "simplepub.frames", "mqtt.wire", "mqtt.state"),
    *("admin.request", "admin.parser", "io.upgrade"),
    *("mqtt.client.login", "mqtt.client.pulse", "mqtt.client.memory", "mqtt.client.dialogue"),
    *("mqtt.bridging.topics", "mqtt.bridging.translator"),
)
"""Rooms that take bytes, events and `now`, and give events, bytes and deadlines."""

OUTSIDE_WORLD = {"asyncio", "logging", "select", "socket", "ssl", "threading", "time", "trio"}


class Import(NamedTuple):
    """A name that a module takes from another. Modules of the house go without "speedo_trio."."""

    importer: str
    line: int
    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.name} from {self.module or 'the root'}"


def module_of(file: Path) -> str:
    """The module's name inside the house: "io.binds", "io" for a room's `__init__`."""
    parts = file.relative_to(HOUSE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imports_of(file: Path) -> list[tuple[int, str, str]]:
    """Line, module and name of each import in the file, wherever in it."""
    found = []
    for node in ast.walk(ast.parse(file.read_bytes())):
        match node:
            case ast.Import():
                found += [(node.lineno, alias.name, alias.name) for alias in node.names]
            case ast.ImportFrom():
                module = f"{'.' * node.level}{node.module or ''}"
                found += [(node.lineno, module, alias.name) for alias in node.names]
            case _:
                pass
    return found


def imports_of_the_house(file: Path) -> list[Import]:
    """What the file takes from the house."""
    return [
        Import(module_of(file), line, module.removeprefix("speedo_trio").removeprefix("."), name)
        for line, module, name in imports_of(file)
        if module.partition(".")[0] == "speedo_trio"
    ]


def room(module: str) -> str:
    """The room that a module is or is in."""
    return module.partition(".")[0]


def layer(module: str) -> int:
    """How far down the module's room is."""
    return next(depth for depth, rooms in enumerate(LAYERS) if room(module) in rooms)


def is_within(module: str, part: str) -> bool:
    """Whether the module is that part of the house, or is in it."""
    return f"{module}.".startswith(f"{part}.")


FILES = [file for file in sorted(HOUSE.rglob("*.py")) if module_of(file)]
IMPORTS = [found for file in FILES for found in imports_of_the_house(file)]
PUBLIC = {
    (found.module, found.name)
    for file in HOUSE.rglob("__init__.py")
    for found in imports_of_the_house(file)
}


def test_every_room_has_one_layer() -> None:
    """A new room must be given its place in LAYERS."""
    placed = [name for rooms in LAYERS for name in rooms]

    assert {room(module_of(file)) for file in FILES} <= set(placed)
    assert len(placed) == len(set(placed))


def test_imports_point_one_way() -> None:
    """A room imports from itself and from lower layers only."""
    upward = [
        str(found)
        for found in IMPORTS
        if found.module
        and room(found.importer) != room(found.module)
        and layer(found.importer) >= layer(found.module)
    ]

    assert upward == []


def test_modules_have_no_cycles() -> None:
    """Inside a room imports point one way too."""
    graph: dict[str, set[str]] = {}
    for found in IMPORTS:
        graph.setdefault(found.importer, set()).add(found.module)

    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("part", KNOWN_ONLY_BY)
def test_parts_are_known_only_by_those_who_join_them(part: str) -> None:
    """Io, protocol and queue meet in the link; listeners, links and workers in the server."""
    strangers = [
        str(found)
        for found in IMPORTS
        if is_within(found.module, part)
        and not is_within(found.importer, part)
        and room(found.importer) not in KNOWN_ONLY_BY[part]
    ]

    assert strangers == []


def test_imports_go_to_the_module() -> None:
    """Inside the house nothing comes from a room's `__init__` or from the root."""
    indirect = [
        str(found) for found in IMPORTS if (HOUSE / found.module.replace(".", "/")).is_dir()
    ]

    assert indirect == []


def test_imports_are_absolute() -> None:
    """Relative imports would escape the other tests here."""
    relative = [
        f"{module_of(file)}:{line} imports {name} from {module}"
        for file in FILES
        for line, module, name in imports_of(file)
        if module.startswith(".")
    ]

    assert relative == []


def test_tenants_use_only_what_is_public() -> None:
    """What a shipped protocol needs of the house, a user's protocol can have."""
    private = [
        str(found)
        for found in IMPORTS
        if room(found.importer) in TENANTS
        and room(found.module) not in {room(found.importer), "broker", "pubsub"}
        and (found.module, found.name) not in PUBLIC
    ]

    assert private == []


@pytest.mark.parametrize("part", SANS_IO)
def test_sans_io_rooms_have_no_outside_world(part: str) -> None:
    """What codecs and state machines need to know is an argument, so that tests can say it."""
    outside = [
        f"{module_of(file)}:{line} imports {module}"
        for file in FILES
        if is_within(module_of(file), part)
        for line, module, _ in imports_of(file)
        if room(module) in OUTSIDE_WORLD
    ]

    assert outside == []
