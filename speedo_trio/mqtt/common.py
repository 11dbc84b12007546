"""What the handlers of one MQTT server share: sessions, timers, hooks and counts.

Next: `speedo_trio.mqtt.handler`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import trio
from attrs import evolve

from speedo_trio.mqtt.calls import LAST_SECONDS, Calls
from speedo_trio.mqtt.caretaker import Caretaker
from speedo_trio.mqtt.hub import BrokerHub, BrokerSession
from speedo_trio.mqtt.passport import issue, read
from speedo_trio.mqtt.referee import asking
from speedo_trio.mqtt.register import Register
from speedo_trio.mqtt.rights import rights_of
from speedo_trio.mqtt.security.addresses import is_local
from speedo_trio.mqtt.state.asks import NOTHING
from speedo_trio.mqtt.state.machine import Machine
from speedo_trio.mqtt.store.keeper import Keeper
from speedo_trio.mqtt.sys_topics import SysTopics
from speedo_trio.mqtt.teller import Teller
from speedo_trio.mqtt.traffic import Traffic
from speedo_trio.mqtt.wills import Wills

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from speedo_trio.broker.core import BrokerCore
    from speedo_trio.events import Address
    from speedo_trio.mqtt.caretaker import Cared
    from speedo_trio.mqtt.events import MQTTEvent
    from speedo_trio.mqtt.hooks import Hooks
    from speedo_trio.mqtt.requests import ClientInfo
    from speedo_trio.mqtt.state.asks import Asking
    from speedo_trio.mqtt.state.capabilities import Capabilities
    from speedo_trio.mqtt.state.publication import MQTTPublication
    from speedo_trio.mqtt.state.session import Session
    from speedo_trio.mqtt.store.contract import Store


class Service:
    """What the handlers of one MQTT server share."""

    def __init__(
        self,
        core: BrokerCore,
        capabilities: Capabilities,
        hooks: Hooks,
        sys_interval: float,
        store: Store | None = None,
    ) -> None:
        self.core: BrokerCore = core
        self.capabilities: Capabilities = capabilities
        self._teller = None if hooks.observe is None else Teller(hooks.observe, hooks)
        self.tell: Callable[[MQTTEvent], None] | None = (
            None if self._teller is None else self._teller.tell
        )
        """Tells of an event; None: nobody wants to know."""
        self.asking: Asking = asking(hooks)
        """What the machines ask."""
        self.calls: Calls = Calls(hooks, self.tell)
        self._anonymous = hooks.allow_anonymous
        self._authorise = hooks.authorise
        hub = BrokerHub(core, self.tell)
        self._wills = Wills(self.calls, self._publish_will) if self.asking.publish else None
        if self._wills is not None:
            hub.judge_will = self._wills.put
        hub.asks_rights = hooks.authorise is not None
        self.hub: BrokerHub = hub
        self.sessions: Register = Register(capabilities, hub, make=BrokerSession.make)
        self.caretaker: Caretaker = Caretaker(self.sessions, core.clock, core.flush)
        self.traffic: Traffic = Traffic()
        self.sys_topics: SysTopics = SysTopics(core, hub, self.sessions, self.traffic, sys_interval)
        self.keeper: Keeper | None = None
        """What writes down what is to outlast the process; None: nothing is."""
        if store is not None:
            self.keeper = Keeper(store, core, self.sessions, self._send_soon, self._recognise_again)
        hooks_later = self.asking.publish or self.asking.subscribe or bool(hooks.enhanced)
        self.quick: bool = not hooks_later and store is None
        """Whether what connected clients send never waits for a hook or the store."""
        self._one = trio.Lock()

    @property
    def knows_clients(self) -> bool:
        """Whether anybody wants to know who the clients are."""
        return self.asking != NOTHING or self.tell is not None or self._authorise is not None

    async def run(self, *others: Callable[[], Awaitable[object]]) -> None:
        """Do what is of no single connection until cancelled. A second task waits for the first.

        Args:
            others: more tasks to run.

        Raises:
            StoreError: there is a store, and it can't be used.
        """
        async with self._one:
            try:
                async with trio.open_nursery() as nursery:
                    if self.keeper is not None:
                        await nursery.start(self.keeper.run)
                    for other in others:
                        nursery.start_soon(other)
                    for one in (self.caretaker, self._wills, self._teller, self.sys_topics):
                        if one is not None:
                            nursery.start_soon(one.run)
            finally:
                if self.keeper is not None and not self._one.statistics().tasks_waiting:
                    await self._put_away(self.keeper)

    async def _put_away(self, keeper: Keeper) -> None:
        """Close the store, when all clients have gone."""
        with trio.move_on_after(LAST_SECONDS, shield=True):
            await self.traffic.quiet()
        self.core.flush()
        await keeper.end()

    def _send_soon(self, session: Session) -> None:
        client = session.client
        if client is not None:
            assert isinstance(client, Machine)
            self.caretaker.later(cast("Cared", client.outside))

    @property
    def dropped(self) -> int:
        """Messages for which there was no room in the queues of sessions that have ended."""
        return self.hub.dropped

    def asking_for(self, peer: Address) -> Asking:
        """What to ask of a client from there."""
        own = self.asking
        if own.connect or self._anonymous == "always":
            return own
        if self._anonymous == "local" and is_local(peer):
            return own
        return evolve(own, connect=True)  # the referee refuses it

    def recognise(self, session: BrokerSession, who: ClientInfo) -> None:
        """It is known now whose a session is."""
        session.who = who
        self.restrict(session)
        if session.journal is not None:
            session.passport = issue(who)
            session.save()

    def _recognise_again(self, session: Session) -> None:
        """A session has come back from the store."""
        assert isinstance(session, BrokerSession)
        if session.passport is not None and self.knows_clients:
            session.who = read(session.client_id, session.passport)
            self.restrict(session)

    def restrict(self, session: BrokerSession) -> None:
        """Let a session's client do what it may, now that it is known who it is."""
        if self._authorise is not None and session.who is not None:
            session.restrict(rights_of(self._authorise, session.who, self.calls))
            if isinstance(session.client, Machine):
                session.client.restricted()

    def refresh_rights(self) -> None:
        """Ask anew what the clients of all sessions may do."""
        for session in self.sessions:
            assert isinstance(session, BrokerSession)
            self.restrict(session)

    def _publish_will(self, will: MQTTPublication) -> None:
        self.hub.publish_judged(will)
        self.core.flush()
