"""The arguments of ``trio-speedo bench``: checked, and given to what puts the load on.

Next: `speedo_trio.cli.bench.plan`, then `speedo_trio.cli.bench.run`.
"""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from speedo_trio.cli.bench.plan import Plan, check_plan
from speedo_trio.cli.flags import checking

_EPILOGUE = """Ctrl-C ends it early and reports what was measured until then. Exit status: 0 all
replies or messages were right, 1 cannot connect at all, 2 a mistake in the arguments, 3 there were
errors, requests without a reply, or messages lost, twice or out of order."""


def bench(plan: Annotated[Plan, Parameter(name="*")]) -> int:
    """Put load on a server and measure how it replies."""
    check_plan(plan)
    from speedo_trio.cli.bench.run import run_bench  # noqa: PLC0415  # it imports Trio

    return run_bench(plan)


app: App = App(
    name="bench",
    usage="trio-speedo bench URL [OPTIONS]",
    help_epilogue=_EPILOGUE,
    config=(
        checking(Plan, "url", "protocol_version"),
    ),  # instead of the variables and the file, which are the server's
)
app.default(bench)
