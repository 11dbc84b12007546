"""The comparison of MQTT brokers measures each kind of shape, and tells what it can't."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.outside import need

TREE = Path(__file__).parents[2]
PATIENCE = 100.0


def compare(output: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run it with the options."""
    command = [sys.executable, "-m", "benchmarks.mqtt", "--output", str(output), *options]
    environment = {**os.environ, "XDG_CACHE_HOME": str(output)}  # where no peer is installed
    return subprocess.run(
        command,
        cwd=TREE,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_measures_every_kind_of_shape(tmp_path: Path) -> None:
    """The quick suite has one of each kind, and our broker loses nothing on any."""
    need("cc")

    run = compare(tmp_path, "--quick", "--brokers", "speedo")

    assert (0, "") == (run.returncode, run.stderr if run.returncode else "")
    told = json.loads((tmp_path / "mqtt.json").read_text())
    kinds = {each["shape"]["kind"] for each in told["measurements"]}
    loads = {"pairs", "fanout", "fanin", "wild", "shared"}
    assert loads | {"storm", "beside", "idle", "subscriptions", "retained"} == kinds
    assert all(each["figures"]["rate"] > 0 for each in told["measurements"])
    assert "`pairs-4x8-q2`" in (tmp_path / "mqtt.md").read_text()


def test_a_peer_that_is_not_installed_is_skipped(tmp_path: Path) -> None:
    """What is missing is told in a line, and the others are measured."""
    need("cc")

    run = compare(tmp_path, "--quick", "--brokers", "speedo", "amqtt", "--shapes", "pairs-1x1")

    assert 0 == run.returncode
    assert "SKIPPED amqtt: amqtt is not installed; --install does that" in run.stderr
    assert "speedo_trio" in run.stdout


@pytest.mark.parametrize(
    "shape", ["pairs", "pairs-0x1", "pears-1x1", "pairs-1x1-q3", "idle-1x1-q1", "pairs-1x1-8b"]
)
def test_a_shape_that_means_nothing_is_refused(shape: str, tmp_path: Path) -> None:
    """The command line tells what was seen."""
    run = compare(tmp_path, "--shapes", shape)

    assert 2 == run.returncode
    assert repr(shape) in run.stderr
