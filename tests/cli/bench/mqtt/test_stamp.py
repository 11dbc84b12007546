"""Payloads: what is read of them is what they were made with."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speedo_trio.cli.bench.mqtt.stamp import STAMP_BYTES, Payloads, Stamp

_WORD = st.integers(0, 2**32 - 1)


@given(st.integers(STAMP_BYTES, 300), st.integers(0, 2**64 - 1), _WORD, _WORD)
def test_a_stamp_is_read_as_it_was_made(size: int, sent: int, publisher: int, number: int) -> None:
    """And the payload has the size."""
    payload = Payloads(size).make(sent, publisher, number)

    assert size == len(payload)
    assert Stamp(sent, publisher, number) == Payloads(size).read(payload)


@pytest.mark.parametrize("spoil", [lambda p: p[:-1], lambda p: p + b"x", lambda p: p[:-1] + b"?"])
def test_a_payload_that_was_changed_has_none(spoil: type[bytes]) -> None:
    """One byte is enough."""
    payloads = Payloads(64)

    assert payloads.read(spoil(payloads.make(1, 2, 3))) is None
