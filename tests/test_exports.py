"""The public face: what a room's `__init__` lists is public, documented, and all that is public."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
from importlib.metadata import distribution
from itertools import chain, pairwise
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest

import speedo_trio

HOUSE = Path(speedo_trio.__file__).parent
DOCS = Path(__file__).parents[1] / "docs"


class Export(NamedTuple):
    """A public name, where it is public and where it is made."""

    room: str
    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.room}.{self.name}"


def exports_of(file: Path) -> list[Export]:
    """What an `__init__` lists as `from module import X as X`."""
    room = ".".join(("speedo_trio", *file.parent.relative_to(HOUSE).parts))
    return [
        Export(room, str(node.module), alias.name)
        for node in ast.parse(file.read_bytes()).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name
    ]


ROOMS = [file for file in sorted(HOUSE.rglob("__init__.py")) if exports_of(file)]
EXPORTS = [export for file in ROOMS for export in exports_of(file)]

every_export = pytest.mark.parametrize("export", EXPORTS, ids=str)
every_public_room = pytest.mark.parametrize("file", ROOMS, ids=lambda file: file.parent.name)


def is_text(node: ast.stmt) -> bool:
    """Whether the statement is nothing but a string."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def documented_names(module: str) -> set[str]:
    """Classes and functions with a docstring, variables and aliases with a string beneath."""
    tree = ast.parse(inspect.getsource(importlib.import_module(module)))
    blocks = [tree.body] + [node.body for node in tree.body if isinstance(node, ast.If)]
    names = set()
    for statement, following in chain.from_iterable(map(pairwise, blocks)):
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)]) if is_text(following):
                names.add(name)
            case ast.AnnAssign(target=ast.Name(id=name)) if is_text(following):
                names.add(name)
            case _:
                pass
    for statement in tree.body:
        match statement:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                if ast.get_docstring(statement):
                    names.add(statement.name)
            case _:
                pass
    return names


def public_members(owner: type) -> list[str]:
    """Methods and properties that the class itself defines, by their public names."""
    return [
        name
        for name, member in vars(owner).items()
        if not name.startswith("_")
        and (inspect.isroutine(member) or isinstance(member, property | classmethod | staticmethod))
    ]


def contracted_members(owner: object) -> set[str]:
    """What the public `Protocol` classes that it implements, without subclassing them, tell of."""
    contracts = [one for one in vars(speedo_trio).values() if getattr(one, "_is_protocol", False)]
    told = [set(public_members(contract)) for contract in contracts]
    return set().union(*(members for members in told if members <= set(dir(owner))))


@every_public_room
def test_all_lists_what_the_room_exports(file: Path) -> None:
    """`from room import *` gives the listed names, and none of the room's modules."""
    exports = exports_of(file)
    room = importlib.import_module(exports[0].room)

    assert sorted(room.__all__) == sorted(export.name for export in exports)


@every_public_room
def test_an_init_only_lists(file: Path) -> None:
    """A room's `__init__` holds its docstring, `from module import X as X` and `__all__`."""
    docstring, *rest = ast.parse(file.read_bytes()).body
    imports = [node for node in rest if isinstance(node, ast.ImportFrom)]
    others = [ast.unparse(node) for node in rest if not isinstance(node, ast.ImportFrom)]

    assert is_text(docstring)
    assert all(alias.asname == alias.name for node in imports for alias in node.names)
    assert [text.partition(" ")[0] for text in others] in ([], ["__all__"])


@every_export
def test_every_export_is_there_and_documented(export: Export) -> None:
    """It can be had, and says what it is: a docstring, or a string beneath a variable or alias."""
    assert hasattr(importlib.import_module(export.room), export.name)
    assert export.name in documented_names(export.module)


@every_export
def test_every_public_member_is_documented(export: Export) -> None:
    """A public method or property has a docstring: its own, or that of the contract it keeps."""
    exported = getattr(importlib.import_module(export.room), export.name)
    members = public_members(exported) if isinstance(exported, type) else []
    silent = {name for name in members if not inspect.getdoc(getattr(exported, name))}

    assert silent - contracted_members(exported) == set()


def test_every_export_is_in_the_reference() -> None:
    """docs/reference*.md names all that is public but the command, which has a page of its own."""
    if not DOCS.exists():
        pytest.skip("there is no docs folder")
    reference = "\n".join(file.read_text("utf-8") for file in sorted(DOCS.rglob("reference*.md")))
    names = {export.name for export in EXPORTS if export.room != "speedo_trio.cli"}

    assert names - set(re.findall(r"\w+", reference)) == set()


def test_what_is_tested_is_what_is_installed() -> None:
    """The tree that lies beside the tests is not taken for the wheel that was installed."""
    installed = distribution("speedo_trio")
    origin = json.loads(installed.read_text("direct_url.json") or "{}")
    if origin.get("dir_info", {}).get("editable"):
        expected = Path(url2pathname(urlsplit(origin["url"]).path)) / "speedo_trio"
    else:
        expected = Path(str(installed.locate_file("speedo_trio")))

    assert expected.resolve() == HOUSE.resolve()
