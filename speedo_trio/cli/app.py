"""The command's arguments and what each subcommand does with them.

Next: `speedo_trio.cli.settings`, then `speedo_trio.cli.run`.
"""

from __future__ import annotations

import sys
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, CycloptsError, Group, Parameter

from speedo_trio.cli.effective import effective_toml
from speedo_trio.cli.listing import protocol_list
from speedo_trio.cli.mistakes import Mistake, explain
from speedo_trio.cli.origins import Origins
from speedo_trio.cli.output import accept_any_text, complain, flush, say
from speedo_trio.cli.reading import Reading, Reread
from speedo_trio.cli.settings import Settings
from speedo_trio.cli.variables import add_variables
from speedo_trio.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from inspect import BoundArguments
    from typing import TypeAlias

    _Command: TypeAlias = Callable[..., int | None]

PACKAGE = "speedo_trio"
MISTAKE, INTERRUPTED = 2, 130

_HELP = "Serve a wire protocol: bytes to messages, messages to workers, replies in order."

_SERVE_HELP = """Serve a protocol until SIGINT or SIGTERM, which drain; the second stops at once.
SIGHUP reads the settings again.

Every setting is a flag, a variable (TRIO_SPEEDO_LIMITS_CONNECTIONS, TRIO_SPEEDO_BIND with blanks
between) and a key of the --config file (connections under [limits], bind = ["…"]); the first of
these that has it wins. "none" turns a timeout off."""

_SERVE_EPILOGUE = """Exit status: 0 nothing was dropped, 1 cannot listen, 2 a mistake in flags,
variables or file, 3 messages, replies or connections were dropped."""

_CHECK_HELP = """Check what serve would be given, and print it as a file for --config.

Takes the arguments of serve. Each line tells in a comment where its value came from: flag,
variable, file or default. Nothing listens."""

_BENCH_HELP = """Put load on a running server, and measure how it replies.

URL is tcp://host:port, tls://host:port, unix:/path, ws://host:port/path or wss://host:port/path.
Unless --send is given, the server must echo lines. A broker of MQTT is mqtt://host:port,
mqtts://host:port or mqtt+unix:/path: clients publish and subscribe there."""

_PUB_HELP = """Publish a message, a file or lines under a topic, at a broker."""

_SUB_HELP = """Subscribe to topics at a broker, and write the messages that come."""

_USERS_HELP = """Set, add or remove passwords of the MQTT broker's users, in a file."""

_MQTT_HELP = """Tools for the MQTT broker: what it keeps in its store, coming from mosquitto."""

_GENERAL = Group("General", sort_key=0)

_Settings = Annotated[Settings | None, Parameter(name="*")]  # None: nothing was set
# Commands have it for the help; `SettingsFile` reads it.
_File = Annotated[Path | None, Parameter(group=_GENERAL, metavar="FILE", show_default=False)]
_Traceback = Annotated[bool, Parameter(group=_GENERAL, show_default=False)]
_Origins = Annotated[Origins, Parameter(parse=False)]
_Reread = Annotated[Reread, Parameter(parse=False)]


def serve(
    settings: _Settings = None,
    *,
    config: _File = None,
    traceback: _Traceback = False,
    origins: _Origins,
    reread: _Reread,
) -> int:
    """Serve a protocol.

    Args:
        config: A TOML file with settings, also TRIO_SPEEDO_CONFIG. None is read unless it is
            given. "trio-speedo check" prints one.
        traceback: When the protocol cannot be imported, show the traceback.
    """
    from speedo_trio.cli.child import Child  # noqa: PLC0415  # these import Trio
    from speedo_trio.cli.run import run_server  # noqa: PLC0415
    from speedo_trio.cli.supervisor import run_processes  # noqa: PLC0415

    reading = Reading.of(settings, origins, traceback=traceback)
    reading.check()
    child = Child.from_environment()
    admin = reading.admin()
    if child is None and reading.settings.processes > 1:
        return run_processes(reading.settings, reread)
    return run_server(reading.settings, reading.factories(), reread, child, admin)


def check(
    settings: _Settings = None,
    *,
    config: _File = None,
    traceback: _Traceback = False,
    origins: _Origins,
) -> int:
    """Check what serve would be given.

    Args:
        config: A TOML file with settings, also TRIO_SPEEDO_CONFIG.
        traceback: When the protocol cannot be imported, show the traceback.
    """
    reading = Reading.of(settings, origins, traceback=traceback)
    reading.check()
    reading.factories()
    reading.admin()
    say(effective_toml(reading.settings, origins))
    return 0


def protocols() -> int:
    """List the protocols that have names, and where they come from."""
    say(protocol_list())
    return 0


def make_app(origins: Origins) -> App:
    """The command's parser; `origins` learns where the settings came from."""
    app = App(
        name="trio-speedo",
        help=_HELP,
        version=_version,
        version_format="plaintext",  # Markdown would take 50 ms
        config=(add_variables, origins.file, origins),  # after the flags; who comes first wins
        default_parameter=Parameter(
            negative=(),
            json_dict=False,  # one way to write a setting is enough
            json_list=False,
            show_env_var=False,  # the rule is in the help; all the names would double its length
            show_default=_shown,
        ),
        verbose=False,
    )
    usage = "[PROTOCOL] [--bind URL]... [OPTIONS]"
    app.command(
        serve,
        help=_SERVE_HELP,
        help_epilogue=_SERVE_EPILOGUE,
        usage=f"trio-speedo serve {usage}",
        sort_key=1,
    )
    app.command(check, help=_CHECK_HELP, usage=f"trio-speedo check {usage}", sort_key=2)
    app.command(protocols, sort_key=3)
    app.command(
        "speedo_trio.cli.bench.command:app",  # imported when it is asked for
        name="bench",
        help=_BENCH_HELP,
        sort_key=4,
    )
    app.command("speedo_trio.cli.pubsub.command:pub_app", name="pub", help=_PUB_HELP, sort_key=5)
    app.command("speedo_trio.cli.pubsub.command:sub_app", name="sub", help=_SUB_HELP, sort_key=6)
    app.command("speedo_trio.cli.passwd:app", name="passwd", help=_USERS_HELP, sort_key=7)
    app.command("speedo_trio.cli.mqtt:app", name="mqtt", help=_MQTT_HELP, sort_key=8)
    return app


def _shown(default: object) -> str:
    """A default as one would type it."""
    if isinstance(default, tuple):
        return " ".join(map(str, default))
    if isinstance(default, float):
        return f"{default:g}"
    return "none" if default is None else str(default)


def _version() -> str:
    try:
        return f"trio-speedo {version(PACKAGE)}"
    except PackageNotFoundError:
        return "trio-speedo, from a tree that is not installed"


def _parse(words: Sequence[str], origins: Origins) -> tuple[_Command, BoundArguments, set[str]]:
    """The command that the words ask for, its arguments, and those that are ours to give.

    Raises:
        Mistake: in flags, variables or the file.
        ConfigError: the same.
    """
    try:
        command, bound, ignored = make_app(origins).parse_args(
            words, print_error=False, exit_on_error=False
        )
    except CycloptsError as error:
        raise Mistake(explain(error)) from error
    return command, bound, set(ignored)


def _reread(words: Sequence[str]) -> Reading:
    origins = Origins()
    try:
        _, bound, _ = _parse(words, origins)
    except ConfigError as error:
        raise Mistake(str(error)) from error
    given = bound.arguments
    return Reading.of(given.get("settings"), origins, traceback=given.get("traceback", False))


def run(words: Sequence[str]) -> int:
    """Do what the command line asks for; returns the exit status. Mistakes are told on stderr."""
    origins = Origins()
    try:
        command, bound, ignored = _parse(words, origins)
        ours = {"origins": origins, "reread": partial(_reread, words)}
        bound.arguments.update((name, ours[name]) for name in ours if name in ignored)
        return command(*bound.args, **bound.kwargs) or 0
    except (Mistake, ConfigError) as error:
        complain(str(error))
    except KeyboardInterrupt:
        return INTERRUPTED
    return MISTAKE


def main() -> None:
    """The entry point of ``trio-speedo``; ends the process with the exit status."""
    accept_any_text()
    status = run(sys.argv[1:])
    flush()
    sys.exit(status)
