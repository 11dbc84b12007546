"""Suites: shapes that are measured together, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.mqtt.shapes import parse_shape

if TYPE_CHECKING:
    from benchmarks.mqtt.shapes import Shape

_MAIN = """
    pairs-20x32 fanout-50x8 fanin-50x8 wild-20x32 pairs-1x64
    pairs-1x1 pairs-100x1
    pairs-20x16-q1 pairs-20x16-q2
    pairs-20x32-v5 fanout-50x8-v5 fanin-50x8-v5 wild-20x32-v5 pairs-20x16-q1-v5 pairs-20x16-q2-v5
    idle-10000x1 subscriptions-1000x1000 pairs-1x16 beside-10000x16
"""
_OTHERS = """
    shared-20x32-v5 shared-20x16-q1-v5 shared-20x16-q2-v5
    fanout-50x8-q1 fanin-50x8-q1 wild-20x16-q1 fanout-50x8-q2 fanin-50x8-q2 wild-20x16-q2
    pairs-20x32-16b pairs-20x32-1024b pairs-20x32-16384b pairs-20x8-65536b
    fanout-50x8-1024b fanout-50x2-65536b pairs-20x8-q1-65536b
    pairs-1x1-q1 pairs-1x1-q2 pairs-1x1024 pairs-20x1024 pairs-1x256-q1
    pairs-1000x1 pairs-1000x8 fanout-1000x1 fanout-1000x8 fanin-1000x1 wild-1000x1
    storm-10000x100 storm-10000x1 storm-10000x100-v5
    retained-10000x10 retained-100x1000
"""
_QUICK = """
    pairs-4x8 pairs-4x8-q1 pairs-4x8-q2 pairs-4x8-v5 fanout-4x8 fanin-4x8 wild-4x8-1024b
    shared-4x8-q1-v5 storm-50x5 beside-600x4 idle-50x2 subscriptions-20x20 retained-50x3
"""


def _shapes(text: str) -> tuple[Shape, ...]:
    return tuple(map(parse_shape, text.split()))


SUITES = {
    "main": _shapes(_MAIN),
    "all": _shapes(_MAIN + _OTHERS),
    "quick": _shapes(_QUICK),
}
