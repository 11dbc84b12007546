"""How Sphinx builds these pages: ``sphinx-build -n -W --keep-going docs docs/_build/html``."""

from __future__ import annotations

import re
import sys
from importlib.metadata import version as installed_version
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import speedo_trio

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sphinx.application import Sphinx

project = "speedo_trio"
author = "The speedo_trio maintainers"
project_copyright = author
version = release = installed_version("speedo_trio")

_DOCS = Path(__file__).parent
# For the extensions that are here and what they use of the tests. First, as other packages install
# a folder of tests too; what is documented has been imported by now, from wherever it is installed.
sys.path[:0] = [str(_DOCS), str(_DOCS.parent)]

extensions = ["myst_parser", "sphinx.ext.autodoc", "clauses"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"speedo_trio {version}"

myst_heading_anchors = 3  # for links like command.md#the-file

default_role = "py:obj"  # a docstring's `Name` is a reference
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True

# Nothing is fetched while building, so what others document has no target here, nor have the
# aliases that only type checkers see. Everything else that a docstring refers to must have one.
nitpick_ignore_regex = [
    ("py:.*", r"(collections|enum|logging|os|ssl|time|trio)\..+"),
    ("py:class", r"Arguments|Messages|Metric|OverflowPolicy|Result|\w+Stream|.*\._Stream"),
]

_REFERENCE = re.compile(r"(?<![`:\w])`([A-Za-z_]\w*)((?:\.\w+)*)`(?!`)")
_SECTIONS = {"Args:": ":param ", "Returns:": ":returns: ", "Raises:": ":raises "}


def say_it_as_sphinx_does(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Turn the conventions of our docstrings into Sphinx's.

    Not by napoleon, which takes the first words of a result's description for its type.
    """
    text = "\n".join(lines).rstrip()
    if what == "module":
        text = _without_the_walk(text)
    lines[:] = [*_fields(_REFERENCE.sub(_reference, text).splitlines()), ""]


def _without_the_walk(text: str) -> str:
    """Without a last paragraph that names the module to read next; pages have their own order."""
    head, _, last = text.rpartition("\n\n")
    return head if last.startswith("Next") else text


def _reference(match: re.Match[str]) -> str:
    """A public name leads to the reference; the bare name of a parameter or member nowhere."""
    name, rest = match.groups()
    if isinstance(getattr(speedo_trio, name, speedo_trio), ModuleType):
        return match.group() if rest else f"``{name}``"
    return f"`{name}{rest} <speedo_trio.{name}{rest}>`"


def _fields(lines: Iterable[str]) -> Iterator[str]:
    """Google's sections as a list of fields."""
    section = None
    for line in lines:
        if line in _SECTIONS:
            section = _SECTIONS[line]
        elif section is None:
            yield line
        elif line and not line.startswith(" "):
            section = None
            yield from ("", line)
        elif section == ":returns: ":
            yield section + line.strip()
            section = ""  # the rest of it is there as it should be
        elif section and re.match(r" {4}\S", line):
            yield section + line.strip()
        else:
            yield line


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", say_it_as_sphinx_does)
