"""Rights: what a session's client may publish, get and subscribe to, remembered by topic.

Next: `speedo_trio.mqtt.state.session`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

MOST: Final = 100
"""Topics that are remembered for a session in each direction; then it begins anew. A client has few
mostly, and what is forgotten is only asked again."""


class SessionRights:
    """The rights of one session. Each topic is asked for once, and then remembered for a while."""

    __slots__ = ("_ask_publish", "_ask_receive", "_publish", "_receive", "may_subscribe")

    def __init__(
        self,
        may_publish: Callable[[bytes], bool],
        may_receive: Callable[[bytes], bool],
        may_subscribe: Callable[[bytes], bool],
    ) -> None:
        """Args: what decides, of topics and of filters; none of them may raise."""
        self._ask_publish = may_publish
        self._ask_receive = may_receive
        self.may_subscribe: Callable[[bytes], bool] = may_subscribe
        """Whether the client may subscribe to a filter, which is one without ``$share/group/``."""
        self._publish: dict[bytes, bool] = {}
        self._receive: dict[bytes, bool] = {}

    def may_publish(self, topic: bytes) -> bool:
        """Whether the client may publish there."""
        known = self._publish.get(topic)
        return _learn(self._publish, self._ask_publish, topic) if known is None else known

    def may_receive(self, topic: bytes) -> bool:
        """Whether the client may get what is published there."""
        known = self._receive.get(topic)
        return _learn(self._receive, self._ask_receive, topic) if known is None else known


def _learn(known: dict[bytes, bool], ask: Callable[[bytes], bool], topic: bytes) -> bool:
    if len(known) >= MOST:
        known.clear()
    answer = known[topic] = ask(topic)
    return answer
