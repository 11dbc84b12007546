"""Rights of a client, as a hook gives them, for the machine: nothing that it raises gets out.

Next: `speedo_trio.mqtt.caretaker`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from speedo_trio.mqtt.state.rights import SessionRights

if TYPE_CHECKING:
    from collections.abc import Callable

    from speedo_trio.mqtt.calls import Calls
    from speedo_trio.mqtt.hooks import Authorise
    from speedo_trio.mqtt.requests import ClientInfo


def rights_of(authorise: Authorise, client: ClientInfo, calls: Calls) -> SessionRights | None:
    """Ask what a client may do. A hook that fails is told of, and allows nothing."""
    try:
        rights = authorise(client)
    except Exception as error:  # noqa: BLE001  # it costs this client only
        calls.failed("authorise", client, error)
        return SessionRights(_nothing, _nothing, _nothing)
    if rights is None:
        return None

    def guarded(may: Callable[[str], bool]) -> Callable[[bytes], bool]:
        def ask(topic: bytes) -> bool:
            try:
                return may(topic.decode()) is True
            except Exception as error:  # noqa: BLE001  # the same
                calls.failed("authorise", client, error)
                return False

        return ask

    return SessionRights(
        guarded(rights.may_publish), guarded(rights.may_receive), guarded(rights.may_subscribe)
    )


def _nothing(topic: bytes) -> bool:
    return False
