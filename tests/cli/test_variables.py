"""The environment: misspelt variables are mistakes, those of others are not."""

from __future__ import annotations

import pytest

from speedo_trio.cli.app import run

MISTAKES = {
    "TRIO_SPEEDO_LIMITS_CONECTIONS=3": (
        "TRIO_SPEEDO_LIMITS_CONECTIONS is no setting; did you mean TRIO_SPEEDO_LIMITS_CONNECTIONS?"
    ),
    "TRIO_SPEEDO_LIMITS_CONNECTIONS_X=3": "TRIO_SPEEDO_LIMITS_CONNECTIONS_X is no setting; did you",
    "TRIO_SPEEDO_LIMITS={}": "TRIO_SPEEDO_LIMITS is no setting; did you mean TRIO_SPEEDO_LIMITS_",
    "TRIO_SPEEDO_QQQ=3": "TRIO_SPEEDO_QQQ is no setting; trio-speedo serve --help tells all",
    "TRIO_SPEEDO_PORT=9292": "TRIO_SPEEDO_PORT is no setting; trio-speedo serve --help tells all",
    "TRIO_SPEEDO_WORKERS_COUNT=": "TRIO_SPEEDO_WORKERS_COUNT is empty; give it a value or unset it",
    "TRIO_SPEEDO_BIND=": "TRIO_SPEEDO_BIND is empty; give it a value or unset it",
    "TRIO_SPEEDO_WORKERS_COUNT=many": "TRIO_SPEEDO_WORKERS_COUNT is 'many'; allowed is a whole",
    "TRIO_SPEEDO_WORKERS_COUNT=2.6": "TRIO_SPEEDO_WORKERS_COUNT is 2.6; allowed is a whole number",
    "TRIO_SPEEDO_BIND=tcp://:1 x": "TRIO_SPEEDO_BIND: 'x' is no address to listen on; allowed are",
    "TRIO_SPEEDO_TRACEBACK=x": "Invalid value for TRIO_SPEEDO_TRACEBACK from env: unable to",
}


@pytest.mark.parametrize("setting", MISTAKES)
def test_a_mistake_in_a_variable(
    setting: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line tells the variable, what was seen and what is allowed; the status is 2."""
    monkeypatch.setenv(*setting.split("=", 1))
    status = run(["check"])
    out, err = capsys.readouterr()

    assert (status, out) == (2, "")
    assert err.startswith(f"trio-speedo: {MISTAKES[setting]}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "setting",
    [
        "TRIO_SPEEDO_SERVICE_HOST=10.0.0.1",
        "TRIO_SPEEDO_SERVICE_PORT=9292",
        "TRIO_SPEEDO_SERVICE_PORT_LINES=9292",
        "TRIO_SPEEDO_PORT=tcp://10.0.0.1:9292",
        "TRIO_SPEEDO_PORT_9292_TCP=tcp://10.0.0.1:9292",
        "TRIO_SPEEDO_PORT_9292_TCP_PROTO=tcp",
        "TRIO_SPEEDO_PORT_9292_TCP_ADDR=10.0.0.1",
    ],
)
def test_variables_of_kubernetes_are_not_ours(
    setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service called trio-speedo must not keep the containers beside it from starting."""
    monkeypatch.setenv(*setting.split("=", 1))

    assert run(["check"]) == 0
