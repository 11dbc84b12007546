"""The guard counts the same twice, and sees work that was added."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

TREE = Path(__file__).parents[2]
PATIENCE = 100.0
SHAPE = "pairs 8 × 16"

ADDED = """
import sys
from speedo_trio.mqtt.handler import MQTTHandler

handle = MQTTHandler.handle

def slower(self, data):
    for _ in range(TIMES):
        pass
    return handle(self, data)

MQTTHandler.handle = slower
"""
JUDGED = """
from benchmarks.guard import __main__ as guard
from benchmarks.guard.record import changes
from benchmarks.guard.shapes import SHAPES, work_of

before = json.loads(sys.argv[1])
now = {SHAPE: work_of(SHAPES[SHAPE])}
sys.exit(guard._judge(list(changes(before, now, {SHAPE: SHAPES[SHAPE].slack}))))
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run this Python in the tree, with hashes that are the same each time."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=TREE,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def counted(shape: str) -> dict[str, float]:
    """What the guard counts."""
    result = run("-m", "benchmarks.guard", "--count", shape)
    assert 0 == result.returncode, result.stderr
    work: dict[str, float] = json.loads(result.stdout)
    return work


def judged(times: int) -> subprocess.CompletedProcess[str]:
    """What the guard says when each read of the server has work of so many laps more."""
    before = json.dumps({SHAPE: counted(SHAPE)})
    given = f"import json\nSHAPE, TIMES = {SHAPE!r}, {times}\n"
    return run("-c", given + ADDED + JUDGED, before)


def test_counts_the_same_twice() -> None:
    """A busy machine changes nothing."""
    assert counted(SHAPE) == counted(SHAPE)


def test_counts_a_message_of_each_figure() -> None:
    """A message alone is read, and written: a call each, and some to wait."""
    work = counted("pairs 1 × 1")

    assert {"instructions", "C calls", "system calls", "task steps"} == work.keys()
    assert work["instructions"] > 100
    assert 2 <= work["system calls"] < 10


def test_work_that_was_added_fails() -> None:
    """A shape that is costlier by more than a tenth is named, with what to do about it."""
    result = judged(times=500)

    assert 1 == result.returncode, result.stderr
    assert f"{SHAPE}: " in result.stdout
    assert "times the instructions a message" in result.stdout
    assert "--renew" in result.stdout


def test_a_little_work_is_allowed() -> None:
    """Less than a tenth is no failure."""
    result = judged(times=20)

    assert 0 == result.returncode, result.stdout + result.stderr
