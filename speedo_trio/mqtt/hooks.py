"""Hooks: what whoever runs a broker may decide and see of its clients, one contract for each.

Every hook is a function of one request. A ``def`` runs in a worker thread, where it may block; an
``async def`` in a Trio task. Without a hook nothing is asked, and all is allowed.

Next: `speedo_trio.mqtt.calls`, which calls them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from attrs import field, frozen

from speedo_trio.errors import ConfigError
from speedo_trio.mqtt.events import MQTTEvent
from speedo_trio.mqtt.requests import (
    AuthenticationRequest,
    ClientInfo,
    ConnectRequest,
    PublishRequest,
    SubscribeRequest,
)
from speedo_trio.mqtt.security.anonymous import AnonymousPolicy, check_anonymous
from speedo_trio.mqtt.state.asks import Challenge
from speedo_trio.mqtt.verdicts import Accepted, Grant, Refused
from speedo_trio.pubsub.bounds import bound

if TYPE_CHECKING:
    from attrs import Attribute

ConnectAnswer: TypeAlias = bool | Accepted | Refused
"""What `Authenticate` gives."""
StepAnswer: TypeAlias = bool | Accepted | Refused | Challenge
"""What `Authentication.step` gives."""
PublishAnswer: TypeAlias = bool | Refused
"""What `AuthorisePublish` gives."""
SubscribeAnswer: TypeAlias = bool | Grant | Refused
"""What `AuthoriseSubscribe` gives."""

Authenticate: TypeAlias = Callable[[ConnectRequest], ConnectAnswer | Awaitable[ConnectAnswer]]
"""May this client connect?"""
AuthorisePublish: TypeAlias = Callable[[PublishRequest], PublishAnswer | Awaitable[PublishAnswer]]
"""May this be published?"""
AuthoriseSubscribe: TypeAlias = Callable[
    [SubscribeRequest], SubscribeAnswer | Awaitable[SubscribeAnswer]
]
"""May this client subscribe to this filter, and with which QoS?"""
Transform: TypeAlias = Callable[
    [PublishRequest], PublishRequest | Awaitable[PublishRequest | None] | None
]
"""What is to be published instead: the request as it is, a changed one, or None for nothing."""
Observe: TypeAlias = Callable[[MQTTEvent], object]
"""Told of each event, of one after the other."""


class TopicRights(Protocol):
    """What a client may do. Each method is called on the Trio thread, so it must not block.

    What one has answered is remembered for a while, until `MQTT.refresh_rights`. One that raises
    has said no.
    """

    def may_publish(self, topic: str, /) -> bool:
        """Whether it may publish there; asked for its will, too."""

    def may_receive(self, topic: str, /) -> bool:
        """Whether it may get what is published there, whatever filter it comes by."""

    def may_subscribe(self, topic_filter: str, /) -> bool:
        """Whether it may subscribe to a filter, which comes without ``$share/group/``."""


Authorise: TypeAlias = Callable[[ClientInfo], TopicRights | None]
"""What may this client do? None: everything. On the Trio thread, so it must not block."""


class Authentication(Protocol):
    """An authentication in steps, with what it has to remember: one is made for each."""

    def step(self, data: bytes | None, /) -> StepAnswer | Awaitable[StepAnswer]:
        """See what the client sends, first with CONNECT and then with each AUTH.

        A ``def`` or an ``async def``, as every hook.

        Returns:
            `Challenge`, and the client is to answer that; or the end of it.
        """


MakeAuthentication: TypeAlias = Callable[[AuthenticationRequest], Authentication]
"""Begins an authentication in steps. On the Trio thread, so it must not block."""


def _callable(owner: object, attribute: Attribute[Any], value: object) -> None:  # Any: of a hook
    if value is not None and not callable(value):
        raise ConfigError(f"{attribute.name} is {value!r}; allowed is a function, or None")


def _methods(owner: object, attribute: Attribute[Any], value: object) -> None:  # Any: as above
    if not isinstance(value, Mapping) or not all(
        isinstance(name, str) and callable(make) for name, make in value.items()
    ):
        raise ConfigError(
            f"{attribute.name} is {value!r}; allowed is a dict of names and what makes an "
            "Authentication"
        )


def _seconds(owner: object, attribute: Attribute[Any], value: object) -> None:  # Any: as above
    if not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise ConfigError(f"{attribute.name} is {value!r}; allowed are seconds, more than 0")


@frozen(kw_only=True)
class Hooks:
    """Those that there are, and how long they may take.

    A hook that raises, gives no answer that is allowed or takes too long costs the client that
    asked this request: it is refused, and that is logged once.

    Raises:
        ConfigError: A setting is not allowed.
    """

    authenticate: Authenticate | None = field(default=None, validator=_callable)
    """May this client connect? True and False will do; `Accepted` tells also who it is."""
    allow_anonymous: AnonymousPolicy = field(default="local", validator=check_anonymous)
    """Whom to let in when there is no `authenticate`: "local" are clients at a loopback address or
    a Unix socket, and behind a trusted proxy it is their own address that counts."""
    authorise: Authorise | None = field(default=None, validator=_callable)
    """What may this client do? Asked when it connects. Its answer is for each topic, quick enough
    to be asked for each message that the client is to get."""
    authorise_publish: AuthorisePublish | None = field(default=None, validator=_callable)
    """May this be published? Wills are asked for, too, when their time has come."""
    authorise_subscribe: AuthoriseSubscribe | None = field(default=None, validator=_callable)
    """May this client subscribe? Asked for each filter. `Grant` lowers the QoS."""
    enhanced: Mapping[str, MakeAuthentication] = field(factory=dict, validator=_methods)
    """Authentication in steps (MQTT 5.0): what makes it, by the method's name. Clients that name
    no method go to `authenticate`; when there is none, they are refused."""
    transform: Transform | None = field(default=None, validator=_callable)
    """Changes or drops what was authorised, wills too. A client isn't told."""
    observe: Observe | None = field(default=None, validator=_callable)
    """Told of what has happened: clients that come and go, what they subscribe to."""
    deadline: float = field(default=10.0, validator=_seconds)
    """Seconds that a hook may take for an answer, waiting for a thread included. Clients wait as
    long for the end of their CONNECT, or a little longer; then they try again."""
    threads: int = field(default=16, validator=bound(1, 1000))
    """How many ``def`` hooks run at the same time: so many for those who want to connect, and as
    many for those who are."""


NO_HOOKS: Final = Hooks()
"""All is allowed to clients of this machine, and nothing to others."""
