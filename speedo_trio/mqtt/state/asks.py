"""Asks: decisions that are not the machine's, and the verdicts that answer them.

The machine stops at an ask, and goes on when `Client.answer` gives it the verdict.

Next: `speedo_trio.mqtt.state.answers`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from attrs import field, frozen

if TYPE_CHECKING:
    from speedo_trio.mqtt.state.publication import MQTTPublication
    from speedo_trio.mqtt.wire.packets import Connect, SubscriptionOptions
    from speedo_trio.mqtt.wire.properties import Properties
    from speedo_trio.mqtt.wire.reason_codes import ReasonCode


@frozen(kw_only=True)
class Asking:
    """Which decisions the host wants to take. All others the machine takes itself: it allows."""

    connect: bool = False
    """`AskConnect`, and `AskAuth`. Without it no authentication method is known."""
    publish: bool = False
    """`AskPublish`."""
    subscribe: bool = False
    """`AskSubscribe`."""


NOTHING = Asking()
"""All is allowed."""


@frozen(eq=False)
class AskConnect:
    """May this client connect? Verdicts: `Allow`, `Refuse`; `Challenge` if it has a method."""

    connect: Connect
    client_id: str
    """That of the CONNECT, or the one that was assigned."""

    @property
    def method(self) -> str | None:
        """The authentication method, if the client wants to authenticate in several steps."""
        properties = self.connect.properties
        return None if properties is None else properties.authentication_method


@frozen(eq=False)
class AskAuth:
    """The next step of an authentication. Verdicts: `Allow`, `Refuse`, `Challenge`."""

    client_id: str
    method: str
    data: bytes | None
    again: bool
    """Whether the client is connected and authenticates again; its other packets wait meanwhile."""
    first: bool
    """Whether an authentication begins with it: only one that is done again does."""


@frozen(eq=False)
class AskPublish:
    """May this be published? Verdicts: `Allow`, `Refuse`, or another publication in its place."""

    client_id: str
    publication: MQTTPublication


@frozen(eq=False)
class AskSubscribe:
    """May the client subscribe to these? Verdicts: `Allow`, `Refuse` for all, or `Grants`."""

    client_id: str
    subscriptions: tuple[tuple[bytes, SubscriptionOptions], ...]
    """Those that the capabilities allow; one at least."""
    properties: Properties | None


Ask: TypeAlias = AskConnect | AskAuth | AskPublish | AskSubscribe
"""Any ask."""


@frozen
class Allow:
    """Yes."""

    data: bytes | None = field(default=None, repr=False)
    """For the last step of an authentication: what CONNACK or AUTH tells the client."""


@frozen
class Refuse:
    """No, for this reason; one that the answer can't carry becomes one that it can."""

    reason: ReasonCode
    text: str = ""
    """A reason string for the client, if it is to know."""
    server_reference: str | None = None
    """For USE_ANOTHER_SERVER and SERVER_MOVED; None: as the capabilities say."""


@frozen
class Challenge:
    """Go on with the authentication: the client gets AUTH with this."""

    data: bytes | None = field(default=None, repr=False)


@frozen
class Grants:
    """A verdict for each filter of an `AskSubscribe`, in order."""

    reasons: tuple[ReasonCode, ...]
    """0x00 to 0x02: the highest QoS for it; 0x80 or above: why not."""


Verdict: TypeAlias = "Allow | Refuse | Challenge | Grants | MQTTPublication"
"""What answers an ask."""

ALLOW = Allow()
"""Yes."""


@frozen
class More:
    """Not an ask: there is more to do, but others should have their turn. Call `Client.proceed`."""


MORE = More()
"""The only one there need be."""


@frozen
class Hold:
    """Not an ask: the client is held, as `speedo_trio.mqtt.state.crowd` says.

    Call `Client.proceed` when `Client.held_until` is over, and after `Outside.eased`; it may have
    this outcome again. Until then, as after any outcome but None, `Client.hear` takes what
    comes, while `Client.hears`.
    """


HOLD = Hold()
"""The only one there need be."""

Outcome: TypeAlias = "Ask | More | Hold | None"
"""What a call of the machine ended with. None: all is done, and it may be given more packets."""
