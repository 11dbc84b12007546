"""The terms of a subscription: what a client has subscribed to a filter with.

Next: `speedo_trio.mqtt.state.flights`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from speedo_trio.pubsub.subscriber import Terms

if TYPE_CHECKING:
    from collections.abc import Sequence


class MQTTTerms(Terms):
    """QoS, options and identifiers. Each SUBSCRIBE makes new ones, so they are also a token."""

    __slots__ = (
        "for_own",
        "group",
        "identifiers",
        "no_local",
        "plain",
        "qos",
        "retain_as_published",
    )

    def __init__(
        self,
        qos: int = 0,
        *,
        no_local: bool = False,
        retain_as_published: bool = False,
        identifiers: tuple[int, ...] = (),
        for_own: MQTTTerms | None = None,
        group: bytes | None = None,
    ) -> None:
        """Make them.

        Args:
            for_own: With `no_local`, what holds all the same for what the client published itself,
                by other filters of its own.
        """
        self.qos: Final = qos
        """The QoS that was granted."""
        self.no_local: Final = no_local
        """Whether the client wants nothing by this that it published itself."""
        self.for_own: Final = for_own
        """What holds for that instead; None: it doesn't get it."""
        self.retain_as_published: Final = retain_as_published
        """Whether RETAIN goes out as the publisher set it."""
        self.identifiers: Final = identifiers
        """The subscription identifiers: one at most, but for terms that were merged."""
        self.group: Final = group
        """The filter, if it is that of a shared subscription."""
        self.plain: Final = not (retain_as_published or identifiers)
        """Whether what goes out depends on the publication and the QoS only."""

    def merged(self, terms: Sequence[Terms]) -> MQTTTerms:
        """What holds for a topic that several filters of one client match: one copy.

        A route is the same whoever publishes. So what the filters without no local say is kept
        apart, for what the client published itself.
        """
        own = cast("Sequence[MQTTTerms]", terms)  # the subscriber is a session, and has only these
        others = [each for each in own if not each.no_local]
        if len(others) == len(own):
            return _joined(own)
        return _joined(own, no_local=True, for_own=_joined(others) if others else None)


def _joined(
    terms: Sequence[MQTTTerms], *, no_local: bool = False, for_own: MQTTTerms | None = None
) -> MQTTTerms:
    """One copy: the highest QoS [MQTT-3.3.4-2], all identifiers [MQTT-3.3.4-4]."""
    return MQTTTerms(
        max(each.qos for each in terms),
        no_local=no_local,
        retain_as_published=any(each.retain_as_published for each in terms),
        identifiers=tuple(number for each in terms for number in each.identifiers),
        for_own=for_own,
    )
