"""The command line: help, version, precedence, and each kind of mistake in one line."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from speedo_trio.cli import main
from speedo_trio.cli.app import run
from speedo_trio.cli.settings import setting_keys

if TYPE_CHECKING:
    from tests.cli.conftest import Start


@pytest.fixture
def checked(capsys: pytest.CaptureFixture[str]) -> Any:  # Any: TOML of any shape comes out
    """Runs ``check``; gives the configuration that it prints."""

    def checked(*words: str) -> dict[str, Any]:
        status = run(["check", *words])
        out, err = capsys.readouterr()
        assert (status, err) == (0, "")
        return tomllib.loads(out)

    return checked


def mistake(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Runs ``check``, which must find a mistake; gives the one line about it."""
    status = run(["check", *words])
    out, err = capsys.readouterr()
    assert (status, out) == (2, "")
    assert err.startswith("trio-speedo: ")
    assert err.count("\n") == 1
    return err.removeprefix("trio-speedo: ").removesuffix("\n")


def test_defaults(checked: Any) -> None:
    """Nothing given is the original's: echo on port 9292 of the loopback."""
    table = checked()

    assert table["protocol"] == "echo"
    assert table["bind"] == ["tcp://localhost:9292"]
    assert table["limits"]["connections"] == 65_536


def test_flags_before_variables_before_file(checked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each place fills what those before it left open."""
    Path("a.toml").write_text(
        'protocol = "log"\nbind = ["tcp://:1"]\n[workers]\ncount = 1\nturn_bytes = 1\nlinger = 1'
    )
    monkeypatch.setenv("TRIO_SPEEDO_WORKERS_COUNT", "2")
    monkeypatch.setenv("TRIO_SPEEDO_WORKERS_TURN_BYTES", "2")
    monkeypatch.setenv("TRIO_SPEEDO_BIND", "tcp://:2 tcp://:3")
    table = checked("--config", "a.toml", "--workers.count", "3")

    assert table["workers"]["count"] == 3
    assert table["workers"]["turn_bytes"] == 2
    assert table["workers"]["linger"] == 1
    assert table["workers"]["turn_messages"] == 1024
    assert table["protocol"] == "log"
    assert table["bind"] == ["tcp://:2", "tcp://:3"]


def test_the_commands_own_settings(checked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are at the top of a file, and have flags and variables like all others."""
    Path("a.toml").write_text('processes = 2\nlog_format = "json"')
    monkeypatch.setenv("TRIO_SPEEDO_LOG_LEVEL", "warning")
    table = checked("--config", "a.toml")

    assert (table["processes"], table["log_format"], table["log_level"]) == (2, "json", "warning")
    assert checked("--config", "a.toml", "--processes", "4")["processes"] == 4


def test_binds_of_a_flag_replace_those_of_the_file(checked: Any) -> None:
    """A list is one setting; lists of different places are not joined."""
    Path("a.toml").write_text('bind = ["tcp://:1", "tcp://:2"]')

    assert checked("--config", "a.toml", "--bind", "tcp://:3")["bind"] == ["tcp://:3"]


def test_protocol_as_argument_and_as_flag(checked: Any) -> None:
    """Both ways; the argument may stand among the flags."""
    assert checked("--bind", "tcp://:1", "discard")["protocol"] == "discard"
    assert checked("--protocol", "discard")["protocol"] == "discard"


def test_the_file_may_come_from_a_variable(checked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """TRIO_SPEEDO_CONFIG names it when the flag does not."""
    Path("a.toml").write_text("[workers]\ncount = 1")
    Path("b.toml").write_text("[workers]\ncount = 2")
    monkeypatch.setenv("TRIO_SPEEDO_CONFIG", "a.toml")

    assert checked()["workers"]["count"] == 1
    assert checked("--config", "b.toml")["workers"]["count"] == 2


def test_no_file_is_read_unasked(checked: Any) -> None:
    """A file in the current directory changes nothing unless it is named."""
    Path("trio-speedo.toml").write_text("[workers]\ncount = 1")

    assert checked()["workers"]["count"] == 16


def test_none_in_every_place(checked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A timeout is turned off by the same word everywhere."""
    assert checked("--timeouts.write", "none")["timeouts"]["write"] == "none"
    monkeypatch.setenv("TRIO_SPEEDO_TIMEOUTS_WRITE", "none")
    assert checked()["timeouts"]["write"] == "none"
    monkeypatch.delenv("TRIO_SPEEDO_TIMEOUTS_WRITE")
    Path("a.toml").write_text('[timeouts]\nwrite = "none"')
    assert checked("--config", "a.toml")["timeouts"]["write"] == "none"


MISTAKES = {
    "--workers.cout 3": "Unknown option: --workers.cout. Did you mean --workers.count?",
    "--workers.count 0": "--workers.count is 0; allowed is a whole number from 1 to 4096",
    "--workers.count many": "--workers.count is 'many'; allowed is a whole number from 1 to 4096",
    "--workers.count 2.6": "--workers.count is 2.6; allowed is a whole number from 1 to 4096",
    "--timeouts.linger none": "--timeouts.linger is None; allowed is a number of seconds",
    "--limits.when-full Wait": "--limits.when-full is 'Wait'; allowed is 'wait' or 'refuse'",
    "--limits {}": "--limits is a section; set what is in it, such as --limits.connections",
    '--limits {"backlog":3}': "--limits is a section; set what is in it, such as --limits.",
    "--bind localhost": "--bind: 'localhost' is no address to listen on; allowed are tcp://host",
    "--processes 0": "--processes is 0; allowed is a whole number from 1 to 1024",
    "--processes 1.5": "--processes is 1.5; allowed is a whole number from 1 to 1024",
    "--log-format xml": "--log-format is 'xml'; allowed is 'text' or 'json'",
    "--log-level loud": "--log-level is 'loud'; allowed is 'debug' or 'info' or 'warning' or",
    "--bind": 'Command "check" parameter --bind requires an argument.',
    "--workers.count 1 --workers.count 2": "Parameter --workers.count specified multiple times.",
    "echo log": "unexpected argument 'log'; trio-speedo check --help tells what is allowed",
    "ecoh": "PROTOCOL: unknown protocol 'ecoh'; did you mean echo? There are discard, echo, log",
    "--config no.toml": "cannot read no.toml: No such file or directory",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_in_the_arguments(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line tells the flag, what was seen and what is allowed; the status is 2."""
    assert mistake(capsys, *words.split()).startswith(MISTAKES[words])


def test_text_that_is_no_unicode(start: Start) -> None:
    """A path may hold any bytes; it is shown with escapes rather than raise."""
    status, out, err = start("check", "--bind", "unix:/a\udcff").end()

    assert (status, err) == (0, "")
    assert r'bind = ["unix:/a\udcff"]' in out


def test_an_unknown_protocol_names_its_place(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have come from the file or the environment."""
    Path("a.toml").write_text('protocol = "ecoh"')
    assert mistake(capsys, "--config", "a.toml").startswith("a.toml: protocol: unknown protocol")
    monkeypatch.setenv("TRIO_SPEEDO_PROTOCOL", "ecoh")
    assert mistake(capsys).startswith("TRIO_SPEEDO_PROTOCOL: unknown protocol")


def test_an_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    """It is told with what there is."""
    assert run(["serv"]) == 2
    assert capsys.readouterr().err == (
        'trio-speedo: Unknown command "serv". Did you mean "serve"? '
        "Available commands: serve, check, protocols, bench, pub, sub, mqtt.\n"
    )


def test_mistakes_in_a_real_process(start: Start) -> None:
    """The status is the process's, and serve finds the same mistakes as check."""
    assert start("serve", "--workers.count", "0").end() == (
        2,
        "",
        "trio-speedo: --workers.count is 0; allowed is a whole number from 1 to 4096\n",
    )


def test_traceback_shows_the_users_own_error(capsys: pytest.CaptureFixture[str]) -> None:
    """The line says how to see it; with the flag it comes before the line."""
    Path("broken_import.py").write_text("import no_such_library\n")
    short = mistake(capsys, "broken_import:X")
    status = run(["check", "broken_import:X", "--traceback"])
    err = capsys.readouterr().err

    assert short == (
        "PROTOCOL: cannot import broken_import: ModuleNotFoundError: No module named "
        f"'no_such_library' ({Path.cwd()}/broken_import.py:1); --traceback shows more"
    )
    assert status == 2
    assert err.startswith("Traceback (most recent call last):\n")
    assert err.endswith("broken_import.py:1)\n")


def test_help_of_serve_tells_all(capsys: pytest.CaptureFixture[str]) -> None:
    """Every setting, its default and its docstring are there, within 80 columns."""
    run(["serve", "--help"])
    out = capsys.readouterr().out

    column = re.findall(r"^│ (?:PROTOCOL |  )?(-?[-.]\S+)", out, re.MULTILINE)
    flags = "".join(column).split("--")  # long ones are on two lines
    for keys in setting_keys():
        assert ".".join(keys).replace("_", "-") in flags
    text = " ".join(out.replace("│", " ").split())  # as if it had no lines
    assert "By default tcp://localhost:9292" in text
    assert "Connections open at once. [default: 65536]" in text
    assert "[default: none]" in text
    assert max(map(len, out.splitlines())) <= 80


def test_help_is_there_despite_mistakes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A misspelt variable must not keep its owner from reading how it is spelt."""
    monkeypatch.setenv("TRIO_SPEEDO_NONSENSE", "1")

    assert run(["serve", "--help"]) == 0
    assert run(["--version"]) == 0
    assert run(["protocols"]) == 0


def test_version(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, plugin: Path
) -> None:
    """One line: the command and the version of the installed package, if it is installed."""
    monkeypatch.setattr("speedo_trio.cli.app.PACKAGE", "shout-plugin")
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == "trio-speedo 1.5\n"
    monkeypatch.setattr("speedo_trio.cli.app.PACKAGE", "no-such-package")
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == "trio-speedo, from a tree that is not installed\n"


@pytest.mark.parametrize("words", [["serve", "--help"], ["check"], ["protocols"], ["--version"]])
def test_a_reader_that_has_gone(start: Start, words: list[str]) -> None:
    """``trio-speedo … | head -1`` ends without a traceback."""
    process = start(*words)
    assert process.popen.stdout is not None
    process.popen.stdout.close()
    process.popen.stdout = None
    process.popen.wait()
    assert process.popen.stderr is not None

    assert process.popen.stderr.read() == ""


def test_the_entry_point(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What an installed ``trio-speedo`` calls ends the process with the status."""
    monkeypatch.setattr("sys.argv", ["trio-speedo", "serv"])
    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 2


def test_ctrl_c_before_serving(capsys: pytest.CaptureFixture[str]) -> None:
    """While a slow module is imported it ends without a traceback, with the shell's status."""
    Path("interrupted.py").write_text("raise KeyboardInterrupt")

    assert run(["serve", "interrupted:X"]) == 130
    assert capsys.readouterr() == ("", "")


def test_importing_main_runs_nothing() -> None:
    """Tools that import every module of a package must not start a server."""
    from speedo_trio import __main__

    assert vars(__main__)["main"] is main
