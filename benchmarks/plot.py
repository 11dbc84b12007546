"""The picture of a comparison; needs matplotlib, which is imported on use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.results import Measurement, Summary, shapes_of, summaries

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from benchmarks.results import Contest, Shape

OURS, THREADS, LOOP = "#c8442d", "#2f6690", "#8a9199"
MOST_COLUMNS = 6
COLOURS = {"speedo": OURS, "a thread job a line": THREADS, "in the event loop": LOOP}


def write_plot(path: Path, contest: Contest, measurements: Sequence[Measurement]) -> None:
    """Draw rates above and times below, one column per shape, and save it as PNG.

    Both axes are logarithmic: equal distances are equal ratios.

    Raises:
        ImportError: matplotlib isn't there.
    """
    from matplotlib.figure import Figure  # without pyplot: no display, no global state
    from matplotlib.lines import Line2D

    shapes = shapes_of(measurements)
    columns = min(len(shapes), MOST_COLUMNS)
    bands = -(-len(shapes) // columns)  # each of two rows
    size = (4.5 + 2.6 * columns, 7.5 * bands)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(2 * bands, columns, sharey=True, squeeze=False)
    for place in range(bands * columns):
        band, column = divmod(place, columns)
        rates, trips = grid[2 * band][column], grid[2 * band + 1][column]
        if place < len(shapes):
            _draw_shape(rates, trips, contest, shapes[place], measurements)
        else:
            rates.set_axis_off()
            trips.set_axis_off()
    figure.suptitle(contest.subject)
    keys = [
        Line2D([], [], color=colour, marker="o", label=kind) for kind, colour in COLOURS.items()
    ]
    figure.legend(handles=keys, loc="outside lower center", ncols=len(keys), frameon=False)
    figure.savefig(path, dpi=110)


def _draw_shape(
    rates: Axes,
    trips: Axes,
    contest: Contest,
    shape: Shape,
    measurements: Sequence[Measurement],
) -> None:
    servers = {measurement.server for measurement in measurements}
    order = [contender for contender in reversed(contest.programs) if contender.name in servers]
    summary = summaries(contest, measurements, shape)
    for row, contender in enumerate(order):
        if contender.name in summary:
            _draw_server(rates, trips, row, _colour(contender.name), summary[contender.name])
    for axes in (rates, trips):
        axes.set_yticks(range(len(order)), [contender.title for contender in order])
        axes.set_ylim(-0.6, len(order) - 0.4)
        _make_logarithmic(axes)
    rates.set_title(str(shape))
    rates.set_xlabel(f"{shape.unit}: slowest – median ● – fastest")
    trips.set_xlabel("time, µs: p50 ● – p99 |")


def _make_logarithmic(axes: Axes) -> None:
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.set_xlim(low / 1.2, high * 1.2)
    steps = (1, 2, 5) if high / low < 30 else (1,)  # few numbers, and they must not touch
    axes.xaxis.set_major_locator(LogLocator(subs=steps))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="x", which="both", alpha=0.25)


def _draw_server(rates: Axes, trips: Axes, row: int, colour: str, summary: Summary) -> None:
    rates.plot([summary.slowest, summary.fastest], [row, row], color=colour, lw=2, alpha=0.5)
    rates.plot(summary.rate, row, "o", color=colour)
    trips.plot([summary.p50_us, summary.p99_us], [row, row], color=colour, lw=2, alpha=0.5)
    trips.plot(summary.p50_us, row, "o", color=colour)
    trips.plot(summary.p99_us, row, "|", color=colour, ms=12, mew=2)


def _colour(name: str) -> str:
    if name.startswith("speedo"):
        return OURS
    return THREADS if name.endswith(("-threads", "-executor")) else LOOP
