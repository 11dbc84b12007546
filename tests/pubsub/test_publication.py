"""Publications: their forms are encoded once, and not without end."""

from __future__ import annotations

import pytest

from speedo_trio.pubsub.publication import FORMS, Publication


class Encoder:
    """Counts how often it encodes."""

    def __init__(self) -> None:
        self.encoded: list[bytes] = []

    def __call__(self, publication: Publication) -> bytes:
        self.encoded.append(publication.topic)
        return b"%s=%s" % (publication.topic, publication.payload)


@pytest.fixture
def encode() -> Encoder:
    """An encoder that has encoded nothing yet."""
    return Encoder()


def test_a_form_is_encoded_once(encode: Encoder) -> None:
    """All who want the same form share the very bytes; another form is another."""
    publication = Publication(b"a", b"1")
    first, again = (publication.encoded("v5", encode) for _ in range(2))
    other = publication.encoded("v4", lambda _: b"other")

    assert first is again
    assert (b"a=1", b"other") == (first, other)
    assert [b"a"] == encode.encoded


def test_so_many_forms_are_kept(encode: Encoder) -> None:
    """Beyond that each is encoded again, and right."""
    publication = Publication(b"a", b"1")
    for _ in range(2):
        for form in range(FORMS + 1):
            assert publication.encoded(form, encode) == b"a=1"

    assert len(encode.encoded) == FORMS + 2


def test_an_encoder_that_raises(encode: Encoder) -> None:
    """Nothing is kept of it; the next one encodes."""

    def fail(publication: Publication) -> bytes:
        raise RuntimeError("no form")

    publication = Publication(b"a", b"1")
    with pytest.raises(RuntimeError, match="no form"):
        publication.encoded("v5", fail)

    assert publication.encoded("v5", encode) == b"a=1"


@pytest.mark.parametrize("before", [True, False])
def test_a_settled_publication_keeps_no_forms(encode: Encoder, *, before: bool) -> None:
    """It takes no more than its payload, however many want it later."""
    publication = Publication(b"a", b"1")
    if before:
        publication.encoded("v5", encode)
    publication.settle()

    assert [b"a=1", b"a=1"] == [publication.encoded("v5", encode) for _ in range(2)]
    assert publication._forms is None


def test_an_empty_form_is_one_too() -> None:
    """It isn't encoded again because it's empty."""
    publication = Publication(b"a", b"")
    forms = [publication.encoded("v5", form) for form in (lambda _: b"", lambda _: b"again")]

    assert [b"", b""] == forms


def test_a_protocol_may_add_properties() -> None:
    """By subclassing; its encoders get what it made."""

    class Numbered(Publication):
        __slots__ = ("number",)

        def __init__(self, topic: bytes, payload: bytes, number: int) -> None:
            super().__init__(topic, payload, origin="x")
            self.number = number

    publication = Numbered(b"a", b"1", 7)

    assert publication.encoded("v5", lambda it: b"%d" % it.number) == b"7"
    assert not hasattr(publication, "__dict__")


def test_the_form_that_it_came_in(encode: Encoder) -> None:
    """It is kept for that form only, and never in place of another."""
    publication, came = Publication(b"a", b"1"), b"came"
    publication.keep("v5", came)
    publication.keep("v4", b"not kept")

    assert publication.encoded("v5", encode) is came
    assert publication.encoded("v4", encode) == b"a=1"
    assert [b"a"] == encode.encoded


def test_what_is_settled_keeps_no_form(encode: Encoder) -> None:
    """Not even the one that it came in."""
    publication = Publication(b"a", b"1")
    publication.settle()
    publication.keep("v5", b"came")

    assert publication.encoded("v5", encode) == b"a=1"


def test_settled_tells_the_number() -> None:
    """Which is 0 before."""
    publication = Publication(b"a", b"1")
    assert publication.settled == 0
    publication.settle(7)
    assert publication.settled == 7
