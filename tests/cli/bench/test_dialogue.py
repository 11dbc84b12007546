"""Dialogues: right replies in any chunks are counted, and every wrong one is noticed."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speedo_trio.cli.bench.dialogue import (
    LEAST_SIZE,
    Dialogue,
    EchoDialogue,
    EchoLines,
    LineDialogue,
    Wrong,
)

CUTS = st.lists(st.integers(0, 200))


def hear_in_pieces(dialogue: Dialogue, data: bytes, cuts: list[int]) -> tuple[int, list[Wrong]]:
    """What was heard in all, and what was wrong, until something lasting was."""
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    total, wrongs = 0, []
    for start, end in pairwise(edges):
        heard, wrong = dialogue.hear(data[start:end])
        total += heard
        if wrong is not None:
            wrongs.append(wrong)
            if wrong.lasting:
                break
    return total, wrongs


def make_echo(size: int = LEAST_SIZE, window: int = 8) -> EchoDialogue:
    """A dialogue with an echo server that nobody else talks to."""
    return EchoDialogue(EchoLines(size, window))


# Echo


@pytest.mark.parametrize("size", [LEAST_SIZE, 17, 64, 1000])
def test_lines_have_their_size(size: int) -> None:
    """Newline included, and there is no other in them."""
    lines = EchoLines(size, 5).batch(5)

    assert [len(line) + 1 for line in lines.removesuffix(b"\n").split(b"\n")] == [size] * 5
    assert len(lines) == 5 * size


def test_no_two_lines_are_the_same() -> None:
    """Not in a batch, not in two, and not for two clients."""
    lines = EchoLines(64, 100)
    sent = b"".join(lines.batch(count) for count in (100, 1, 50, 100)).split(b"\n")

    assert len(set(sent)) == len(sent) == 252


@given(st.lists(st.integers(1, 8), min_size=1, max_size=5), CUTS)
def test_an_echo_in_any_pieces_is_right(counts: list[int], cuts: list[int]) -> None:
    """Each line counts once, when its last byte has come."""
    dialogue = make_echo()
    data = b"".join(map(dialogue.ask, counts))

    assert hear_in_pieces(dialogue, data, cuts) == (sum(counts), [])


@given(st.integers(0, 8 * LEAST_SIZE - 1), st.integers(1, 255), CUTS)
def test_one_wrong_byte_is_noticed(place: int, change: int, cuts: list[int]) -> None:
    """Its line and those before it count as answered; nothing after it can be trusted."""
    dialogue = make_echo()
    data = bytearray(dialogue.ask(8))
    line = place // LEAST_SIZE
    expected = bytes(data[line * LEAST_SIZE : (line + 1) * LEAST_SIZE - 1])
    data[place] ^= change
    heard, (wrong,) = hear_in_pieces(dialogue, bytes(data), cuts)

    assert heard == line + 1
    assert (wrong.count, wrong.lasting, wrong.expected) == (1, True, expected)
    assert wrong.seen != expected or place % LEAST_SIZE == LEAST_SIZE - 1  # only the newline


@given(st.permutations(range(6)).filter(lambda order: order != list(range(6))), CUTS)
def test_swapped_replies_are_noticed(order: list[int], cuts: list[int]) -> None:
    """Each is a line that was sent, but not the one whose turn it is."""
    dialogue = make_echo()
    lines = dialogue.ask(6).splitlines(keepends=True)
    heard, (wrong,) = hear_in_pieces(dialogue, b"".join(lines[n] for n in order), cuts)
    first = next(n for n in range(6) if order[n] != n)

    assert heard == first + 1
    assert wrong.expected + b"\n" == lines[first]


def test_a_stale_reply_is_noticed() -> None:
    """The same reply once more is no reply to the next request."""
    dialogue = make_echo()
    stale = dialogue.ask(1)
    dialogue.hear(stale)
    dialogue.ask(1)
    heard, wrong = dialogue.hear(stale)

    assert heard == 1
    assert wrong is not None
    assert wrong.seen + b"\n" == stale


@given(CUTS)
def test_more_than_was_sent_is_noticed(cuts: list[int]) -> None:
    """It is no reply to anything."""
    dialogue = make_echo()
    heard, (wrong,) = hear_in_pieces(dialogue, dialogue.ask(3) + b"surplus\n", cuts)

    assert heard == 3
    assert wrong.expected == b""
    assert str(wrong).startswith("expected no more replies, got b's")


def test_the_form_of_a_mistake() -> None:
    """Both lines, not more than fits."""
    wrong = Wrong(count=1, expected=b"a" * 100, seen=b"b\x00", lasting=True)

    assert str(wrong) == f"expected b'{'a' * 72}...', got b'b\\x00'"


# Lines


def test_the_request_is_sent_as_often_as_asked() -> None:
    """Each with its newline."""
    assert LineDialogue(b"GET x", None).ask(3) == b"GET x\nGET x\nGET x\n"


@given(st.lists(st.sampled_from([b"blue\n", b"blue\r\n"]), max_size=8), CUTS)
def test_expected_lines_in_any_pieces_are_right(lines: list[bytes], cuts: list[int]) -> None:
    """With a carriage return or without."""
    dialogue = LineDialogue(b"x", b"blue")
    dialogue.ask(8)

    assert hear_in_pieces(dialogue, b"".join(lines), cuts) == (len(lines), [])


@given(
    st.lists(st.binary(max_size=300).map(lambda line: line.replace(b"\n", b"")), max_size=8), CUTS
)
def test_without_an_expectation_every_line_is_right(lines: list[bytes], cuts: list[int]) -> None:
    """Whatever is in it; it only has to end."""
    dialogue = LineDialogue(b"x", None)
    dialogue.ask(8)
    data = b"".join(line + b"\n" for line in lines)

    assert hear_in_pieces(dialogue, data + b"unfinished", cuts) == (len(lines), [])


@given(st.lists(st.booleans(), min_size=1, max_size=8), CUTS)
def test_wrong_lines_are_counted_one_by_one(right: list[bool], cuts: list[int]) -> None:
    """They are answers too, and the next may be right again."""
    dialogue = LineDialogue(b"x", b"blue")
    dialogue.ask(8)
    data = b"".join(b"blue\n" if one else b"red\r\n" for one in right)
    heard, wrongs = hear_in_pieces(dialogue, data, cuts)

    assert heard == len(right)
    assert sum(wrong.count for wrong in wrongs) == right.count(False)
    assert {(wrong.expected, wrong.seen, wrong.lasting) for wrong in wrongs} <= {
        (b"blue", b"red", False)
    }


@pytest.mark.parametrize("expected", [None, b"blue"])
@given(cuts=CUTS)
def test_more_lines_than_were_asked_for(expected: bytes | None, cuts: list[int]) -> None:
    """What is too much answers nothing, and it isn't known any more who answers what."""
    dialogue = LineDialogue(b"x", expected)
    dialogue.ask(2)
    heard, (wrong,) = hear_in_pieces(dialogue, b"blue\nblue\nblue\n", cuts)

    assert heard == 2
    assert (wrong.count, wrong.expected, wrong.lasting) == (1, b"", True)


def test_a_line_without_end_is_not_kept() -> None:
    """A peer can't fill the memory, and the line is still wrong when it does end."""
    dialogue = LineDialogue(b"x", b"blue")
    dialogue.ask(1)
    for _ in range(100):
        assert dialogue.hear(b"blue" * 1000) == (0, None)
    assert len(dialogue._rest) < 100
    heard, wrong = dialogue.hear(b"\n")

    assert heard == 1
    assert wrong is not None


def test_a_million_lines_take_no_memory() -> None:
    """What has been heard is forgotten."""
    dialogue = make_echo(64, 64)
    for _ in range(1000):
        data = dialogue.ask(64)
        middle = random.randrange(len(data))
        dialogue.hear(data[:middle])
        dialogue.hear(data[middle:])

    assert dialogue._owed == b""
