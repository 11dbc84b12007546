"""The arguments of ``trio-speedo bench``: checked, and given to what puts the load on.

Next: `speedo_trio.cli.bench.plan`, then `speedo_trio.cli.bench.run`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from attrs import Attribute, fields_dict
from cyclopts import App, Parameter

from speedo_trio.cli.bench.plan import Plan, check_plan
from speedo_trio.cli.settings import from_text
from speedo_trio.errors import ConfigError

if TYPE_CHECKING:
    from typing import Any

    from cyclopts import Argument, ArgumentCollection

_EPILOGUE = """Ctrl-C ends it early and reports what was measured until then. Exit status: 0 all
replies were right, 1 cannot connect at all, 2 a mistake in the arguments, 3 there were errors or
requests without a reply."""


def bench(plan: Annotated[Plan, Parameter(name="*")]) -> int:
    """Put load on a server and measure how it replies."""
    check_plan(plan)
    from speedo_trio.cli.bench.run import run_bench  # noqa: PLC0415  # it imports Trio

    return run_bench(plan)


def check_flags(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """See whether each flag may have its value, before Cyclopts would round or reword it.

    Raises:
        ConfigError: it may not; the text tells the flag, what was seen and what is allowed.
    """
    attributes = fields_dict(Plan)
    for argument in arguments:
        if argument.keys and (attribute := attributes[argument.keys[-1]]).validator is not None:
            _check(argument, attribute)


def _check(argument: Argument, attribute: Attribute[Any]) -> None:
    for token in argument.tokens:
        value = token.value if attribute.name == "url" else from_text(token.value)
        try:
            attribute.validator(None, attribute, value)  # type: ignore[misc]  # there is one
        except ConfigError as error:
            place, text = token.keyword or "URL", str(error)
            named = text.startswith(f"{attribute.name} is ")
            raise ConfigError(
                place + text.removeprefix(attribute.name) if named else f"{place}: {text}"
            ) from None


app: App = App(
    name="bench",
    usage="trio-speedo bench URL [OPTIONS]",
    help_epilogue=_EPILOGUE,
    config=(check_flags,),  # instead of the variables and the file, which are the server's
)
app.default(bench)
