"""A publication: what is published under a name, and the forms in which it goes out.

Next: `speedo_trio.pubsub.subscriber`, who gets it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

FORMS = 16
"""The most forms that a publication keeps: more than the variants of a protocol that many share."""


class Publication:
    """What is published. A protocol may subclass it, with properties of its own.

    It doesn't change; type checkers see to that. (A frozen attrs class does so at run time too, and
    takes four times as long to make one.)
    """

    __slots__ = ("_forms", "origin", "payload", "properties", "retain", "settled", "topic")

    def __init__(
        self,
        topic: bytes,
        payload: bytes,
        *,
        retain: bool = False,
        origin: object = None,
        properties: object = None,
    ) -> None:
        self.topic: Final = topic
        """The name that it is published under."""
        self.payload: Final = payload
        self.retain: Final = retain
        """Whether the publisher wants it kept for those who subscribe later."""
        self.origin: Final = origin
        """Who published it, for subscribers that don't want their own back."""
        self.properties: Final = properties
        """What the protocol has to say beside."""
        self._forms: dict[Hashable, bytes] | None = None
        self.settled: int = 0
        """The number that it was settled with; 0 before."""

    @property
    def size(self) -> int:
        """Its bytes, for bounds: those of the topic, the payload and what else varies."""
        return len(self.topic) + len(self.payload)

    @property
    def expires_at(self) -> float | None:
        """When it is of no use any more, in seconds of the broker's clock; None: never."""
        return None

    def encoded(self, form: Hashable, encode: Callable[[Self], bytes]) -> bytes:
        """The publication in a form, encoded once and then shared by all who want that form.

        Args:
            form: All that the encoding depends on beside the publication, such as the protocol's
                version. What only one subscriber gets, such as a packet id, is no part of a form.
            encode: Makes the bytes. What it raises goes through, and nothing is kept.
        """
        forms = self._forms
        if forms is not None:
            found = forms.get(form)
            if found is not None:
                return found
        made = encode(self)
        if forms is None and not self.settled:
            self._forms = {form: made}
        elif forms is not None and len(forms) < FORMS:
            forms[form] = made
        return made

    def keep(self, form: Hashable, encoded: bytes) -> None:
        """Keep a form that the publication came in, if it has none yet."""
        if self._forms is None and not self.settled:
            self._forms = {form: encoded}

    def settle(self, number: int = 1) -> None:
        """Let go of the forms and keep none from now on: for a publication that stays for long.

        Args:
            number: from 1 on, tells which came later.
        """
        self._forms = None
        self.settled = number
