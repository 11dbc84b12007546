"""``trio-speedo mqtt import-mosquitto``: a mosquitto.conf becomes a file for ``--config``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from speedo_trio.cli.mistakes import Mistake
from speedo_trio.cli.mosquitto.conf import read_options
from speedo_trio.cli.mosquitto.scopes import sort_options
from speedo_trio.cli.mosquitto.toml import as_toml
from speedo_trio.cli.mosquitto.translation import translate
from speedo_trio.cli.output import say

_File = Annotated[Path, Parameter(metavar="FILE")]
_Out = Annotated[Path | None, Parameter(name=("--out", "-o"), metavar="FILE", show_default=False)]


def import_mosquitto(file: _File, /, *, out: _Out = None) -> int:
    """Translate a configuration of mosquitto.

    What has no counterpart is named in comments, with file and line. "trio-speedo check --config"
    shows all that the result sets.

    Args:
        file: The mosquitto.conf.
        out: Where to write it; if not given, to stdout.
    """
    text = as_toml(translate(sort_options(read_options(file))))
    if out is None:
        say(text.removesuffix("\n"))
        return 0
    try:
        out.write_text(text, "utf-8")
    except OSError as error:
        raise Mistake(f"cannot write {out}: {error.strerror or error}") from error
    return 0


app: App = App(name="import-mosquitto", config=())
app.default(import_mosquitto)
