"""The README and the pages of docs/ say what is true: their code runs, what they name exists."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
import sys
import tomllib
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs
import pytest
import trio

import speedo_trio
from speedo_trio import ConfigError, Server, admin, mqtt, serve, simplepub, testing
from speedo_trio.cli import app
from speedo_trio.cli.protocols import PLUGINS, load
from speedo_trio.cli.settings import NESTED, SECTIONS, setting_keys

TREE = Path(__file__).parents[1]
DOCS = TREE / "docs"
PAGES = [
    *(TREE / name for name in ("README.md", "CHANGELOG.md", "benchmarks/README.md")),
    *(page for page in sorted(DOCS.rglob("*.md")) if "_build" not in page.parts),
]
TEXTS = {page: page.read_text("utf-8") for page in PAGES}
PATIENCE = 60
"""Seconds after which a page's code has failed; a machine may be busy."""

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_MODULE = re.compile(r"^% The code of this page is the module `(\w+)`\.$", re.MULTILINE)
_LINK = re.compile(r"\]\(([^)#\s:]+)(?:#[^)\s]*)?\)")
_FILE = re.compile(r"`((?:benchmarks|docs|examples|speedo_trio|tests)/[\w./]*)(?:::(\w+))?`")
_SETTING = re.compile(r"\b(limits|timeouts|workers)\.([a-z][a-z_-]*)\b(?!\()")
_VARIABLE = re.compile(r"\bTRIO_SPEEDO_(LIMITS|TIMEOUTS|WORKERS)_([A-Z_]+)\b")
_DOCUMENTED = re.compile(
    r"^\.\. (?:auto)?(?:class|data|exception|function):: ([\w.]+)", re.MULTILINE
)


def name_of(page: Path) -> str:
    """The page's path in the tree."""
    return str(page.relative_to(TREE))


def blocks(page: Path, language: str) -> Iterator[tuple[int, str]]:
    """The line and the text of each block of a language."""
    text = TEXTS[page]
    for fence in _FENCE.finditer(text):
        if fence[1] == language:
            yield text.count("\n", 0, fence.start(2)), fence[2]


def every_page_with(language: str) -> pytest.MarkDecorator:
    """A test for each page that has blocks of a language."""
    pages = [page for page in PAGES if any(blocks(page, language))]
    return pytest.mark.parametrize("page", pages, ids=name_of)


every_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


# Python


def run_as_shown(real_run: Callable[..., Any]) -> Callable[..., Any]:
    """A `trio.run` that ends, and serves on a free port where a page serves on a fixed one."""
    fixed = re.compile(r":(9292|1883)\b")

    async def serve_and_drain(factory: Any, *binds: str) -> None:
        free = [fixed.sub(":0", bind) for bind in binds]
        async with trio.open_nursery() as nursery:
            server: Server = await nursery.start(serve, factory, *free)
            await server.drain()

    async def in_time(function: Callable[..., Any], *arguments: Any) -> Any:
        with trio.fail_after(PATIENCE):
            return await function(*arguments)

    def run(function: Callable[..., Any], *arguments: Any) -> Any:
        return real_run(in_time, serve_and_drain if function is serve else function, *arguments)

    return run


def run_tests(module: ModuleType, before: dict[str, object]) -> None:
    """Run the tests that a module has and had not before, with a broker if they ask for one."""
    for name, value in list(vars(module).items()):
        if name.startswith("test_") and value is not before.get(name):
            if inspect.iscoroutinefunction(value):
                trio.run(value)
            elif "mqtt_broker" in inspect.signature(value).parameters:
                with testing.MQTTTestBroker() as broker:
                    value(broker)
            else:
                value()


@pytest.fixture
def run_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Executes a page's Python, block by block as one module, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trio, "run", run_as_shown(trio.run))

    def run(page: Path) -> None:
        named = _MODULE.search(TEXTS[page])
        module = ModuleType(named[1] if named else "page")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        for line, code in blocks(page, "python"):
            before = dict(vars(module))
            compiled = compile("\n" * line + code, str(page), "exec", dont_inherit=True)
            exec(compiled, vars(module))
            run_tests(module, before)

    return run


@every_page_with("python")
def test_python_runs(page: Path, run_page: Callable[[Path], None]) -> None:
    """Each block runs after those before it, and the tests in it pass."""
    run_page(page)


def program(code: str) -> str:
    """The program without docstrings and without the guard around its last line."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        match node:
            case ast.Module() | ast.ClassDef() if ast.get_docstring(node):
                del node.body[0]
    match tree.body[-1]:
        case ast.If(body=body):
            tree.body[-1:] = body
    return ast.unparse(tree)


@pytest.mark.parametrize("page", [TREE / "README.md", DOCS / "index.md"], ids=name_of)
def test_the_first_program_is_the_first_example(page: Path) -> None:
    """What the README shows is what tests/examples runs."""
    example = (TREE / "examples" / "first_protocol.py").read_text("utf-8")

    assert program(example) == program(next(code for _, code in blocks(page, "python")))


# Commands and files


def run_command(words: list[str]) -> int:
    """The exit status of `trio-speedo` with these words, which are only checked."""
    end = words.index(">") if ">" in words else len(words)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("speedo_trio.cli.bench.run.run_bench", lambda plan: 0)
        patch.setattr("speedo_trio.cli.pubsub.publish.run_pub", lambda *given: 0)
        patch.setattr("speedo_trio.cli.pubsub.subscribe.run_sub", lambda *given: 0)
        return app.run(["check" if word == "serve" else word for word in words[:end]])


@every_page_with("toml")
def test_files_are_accepted(page: Path, run_page: Callable[[Path], None]) -> None:
    """The command takes a file for --config; an entry point leads to a factory."""
    run_page(page)
    for _, text in blocks(page, "toml"):
        if text.startswith("# pyproject.toml\n"):
            offered = tomllib.loads(text)["project"]["entry-points"][PLUGINS]
            assert all(callable(load(target)) for target in offered.values())
        else:
            Path("settings.toml").write_text(text, encoding="utf-8")
            assert run_command(["check", "--config", "settings.toml"]) == 0


def commands(page: Path) -> Iterator[list[str]]:
    """The words of each command in a page's shell blocks."""
    for _, text in blocks(page, "sh"):
        for line in text.splitlines():
            for command in re.split(r"&&|\|", line):
                words = shlex.split(command, comments=True)
                if words:
                    yield words


@every_page_with("sh")
def test_commands_are_accepted(
    page: Path, run_page: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command takes the words that a page shows; modules that it runs exist."""
    run_page(page)
    for _, text in blocks(page, "toml"):
        file = re.match(r"# (\w+\.toml)\n", text)
        assert file is not None, "a TOML block begins with the name of its file"
        Path(file[1]).write_text(text, encoding="utf-8")
    for words in commands(page):
        with monkeypatch.context() as environment:
            while "=" in words[0]:
                environment.setenv(*words.pop(0).split("=", 1))
            match words:
                case ["trio-speedo", "pub" | "sub" as word, *_]:
                    module = {"pub": "publish", "sub": "subscribe"}[word]
                    path = f"speedo_trio.cli.pubsub.{module}.run_{word}"  # there is no server
                    environment.setattr(path, lambda *_: 0)
                    assert run_command(words[1:]) == 0
                case ["trio-speedo" | ".venv/bin/trio-speedo", *rest]:
                    assert run_command(rest) == 0
                case ["python", "-m", module, *_]:
                    place = TREE / module.replace(".", "/")
                    assert place.with_suffix(".py").exists() or (place / "__main__.py").exists()
                case ["python3", "-m", module, *_]:
                    assert find_spec(module)
                case _:
                    others = {".venv/bin/pip", ".venv/bin/pytest", "sqlite3", "tail", "ulimit"}
                    assert words[0] in {*others, "nox"}


def test_the_tests_are_run_as_the_readme_says() -> None:
    """The line in the README is the last one that CI runs."""
    last = (TREE / ".ci" / "run").read_text("utf-8").rstrip().splitlines()[-1]

    assert last in [text.strip() for _, text in blocks(TREE / "README.md", "sh")]


# Names


@every_page
def test_what_is_named_exists(page: Path) -> None:
    """Settings, variables, files of the tree and tests in them."""
    text = TEXTS[page]
    settings = {
        (section, name.replace("-", "_"))
        for section, name in _SETTING.findall(text)
        if name not in {"md", "py", "toml"}
    }
    settings |= {(section.lower(), name.lower()) for section, name in _VARIABLE.findall(text)}
    known = {(section, field.name) for section, field in SETTINGS}
    assert settings - known == set()

    for file, test in _FILE.findall(text):
        assert (TREE / file).exists()
        assert not test or re.search(rf"def {test}\(", (TREE / file).read_text("utf-8"))


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    """A link to a file of the tree."""
    missing = [
        target for target in _LINK.findall(TEXTS[page]) if not (page.parent / target).exists()
    ]

    assert missing == []


def test_the_reference_has_every_public_name_once() -> None:
    """What is public is what docs/reference.md documents."""
    documented = _DOCUMENTED.findall(TEXTS[DOCS / "reference.md"])
    public = [
        f"{module.__name__}.{name}"
        for module in (speedo_trio, admin, mqtt, simplepub, testing)
        for name, value in vars(module).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    ]

    assert sorted(documented) == sorted(public)


def test_the_changelog_has_this_version() -> None:
    """The version in pyproject.toml has a section."""
    version = tomllib.loads((TREE / "pyproject.toml").read_text("utf-8"))["project"]["version"]

    assert f"\n## {version}" in TEXTS[TREE / "CHANGELOG.md"]


# Settings


OWNERS = {**SECTIONS, **{".".join(path): kind for path, kind in NESTED.items()}}
SETTINGS = [
    (".".join(keys[:-1]), getattr(attrs.fields(OWNERS[".".join(keys[:-1])]), keys[-1]))
    for keys in setting_keys()
    if len(keys) > 1
]


def described(kind: type, name: str) -> str:
    """The string beneath a setting in config.py, on one line."""
    classes = [ast.parse(inspect.getsource(each)).body[0] for each in kind.__mro__[:-1]]
    body = [node for each in classes if isinstance(each, ast.ClassDef) for node in each.body]
    for statement, following in pairwise(body):
        match statement, following:
            case ast.AnnAssign(target=ast.Name(id=found)), ast.Expr(ast.Constant(str(text))):
                if found == name:
                    return " ".join(text.split())
    raise AssertionError(f"{kind.__name__}.{name} has no description")


def first_line(kind: type, field: attrs.Attribute[Any]) -> re.Pattern[str]:
    """What stands below a setting's heading: its default, a unit, and what is allowed."""
    with pytest.raises(ConfigError) as refused:
        kind(**{field.name: object()})
    allowed = str(refused.value).partition("allowed is ")[2].replace("'", '"')
    match field.default:
        case None:
            default = "none"
        case bool(yes):
            default = str(yes).lower()
        case str(text):
            default = f'"{text}"'
        case tuple(texts):
            default = "[" + ", ".join(f'"{text}"' for text in texts) + "]"
        case number:
            default = f"{number:g}" if isinstance(number, float) else str(number)
    return re.compile(rf"`{re.escape(default)}`[ \w,]*; allowed is {re.escape(allowed)}\.")


def test_every_setting_has_its_paragraphs() -> None:
    """docs/settings.md has default, bounds and description as config.py has them, and a reason."""
    text = TEXTS[DOCS / "settings.md"]
    told = re.findall(r"^### ([\w.]+)\.(\w+)$", text, re.MULTILINE)
    assert told == [(section, field.name) for section, field in SETTINGS]

    for section, field in SETTINGS:
        below = text.partition(f"\n### {section}.{field.name}\n")[2].partition("\n#")[0]
        first, description, reason = (
            " ".join(part.split()) for part in below.strip().split("\n\n")
        )
        assert first_line(OWNERS[section], field).fullmatch(first)
        assert description == described(OWNERS[section], field.name)
        assert reason.startswith("*Why:* ")
