"""Few levels, so that topics overlap: empty ones, hidden ones and wildcards among them."""

from __future__ import annotations

from hypothesis import strategies as st

from speedo_trio.pubsub.topics import SEPARATOR

_LEVELS = [b"", b"a", b"b", b"$a"]


def _joined(levels: list[bytes]) -> bytes:
    return SEPARATOR.join(levels)


names = st.lists(st.sampled_from(_LEVELS), min_size=1, max_size=4).map(_joined).filter(bool)
"""Topic names."""

_parts = st.lists(st.sampled_from([*_LEVELS, b"+", b"+"]), max_size=4)
_ends = st.sampled_from([[], [], [b"#"]])
filters = st.builds(lambda parts, end: _joined([*parts, *end]), _parts, _ends).filter(bool)
"""Topic filters, without wildcards and with."""
