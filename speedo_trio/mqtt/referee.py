"""The referee: answers what the machine of one connection asks, by calling hooks.

Next: `speedo_trio.mqtt.wills`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from attrs import evolve

from speedo_trio.mqtt.calls import call_hook, no_answer
from speedo_trio.mqtt.publishing import FAILED, judge_publish, read_refusal
from speedo_trio.mqtt.requests import (
    AuthenticationRequest,
    ClientInfo,
    ConnectRequest,
    SubscribeRequest,
)
from speedo_trio.mqtt.state.asks import (
    ALLOW,
    Allow,
    AskAuth,
    AskConnect,
    Asking,
    AskPublish,
    AskSubscribe,
    Challenge,
    Grants,
    Refuse,
)
from speedo_trio.mqtt.verdicts import Accepted, Grant, Refused
from speedo_trio.mqtt.wire.reason_codes import ReasonCode
from speedo_trio.pubsub.topics import parse_shared

if TYPE_CHECKING:
    from speedo_trio.mqtt.calls import Calls
    from speedo_trio.mqtt.hooks import Authentication, Hooks
    from speedo_trio.mqtt.state.asks import Ask, Verdict
    from speedo_trio.mqtt.wire.packets import Connect, SubscriptionOptions
    from speedo_trio.protocol.handler import Connection

UNAVAILABLE: Final = Refuse(ReasonCode.SERVER_UNAVAILABLE)
"""What a client is told that can't connect because a hook failed: 3.1 and 3.1.1 can say it."""
_UNKNOWN_METHOD: Final = Refuse(ReasonCode.BAD_AUTHENTICATION_METHOD)
_NOT_AUTHORISED: Final = Refuse(ReasonCode.NOT_AUTHORIZED)
_BAD_PASSWORD: Final = Refuse(ReasonCode.BAD_USER_NAME_OR_PASSWORD)


def asking(hooks: Hooks) -> Asking:
    """What the machine is to ask, so that there is a hook for it."""
    return Asking(
        connect=bool(hooks.authenticate or hooks.enhanced),
        publish=bool(hooks.authorise_publish or hooks.transform),
        subscribe=bool(hooks.authorise_subscribe),
    )


def client_info(connection: Connection, connect: Connect, client_id: str) -> ClientInfo:
    """Who it is that sent a CONNECT."""
    return ClientInfo(
        client_id=client_id,
        user_name=connect.user_name,
        version=connect.version,
        connection=connection.id,
        peer=connection.peer,
        local=connection.local,
        tls=connection.tls,
        websocket=connection.websocket,
        proxy=connection.proxy,
    )


class Referee:
    """Decides for one connection, one ask after the other."""

    def __init__(self, calls: Calls, client: ClientInfo) -> None:
        self._calls = calls
        self._authentication: Authentication | None = None
        self.client: ClientInfo = client
        """Who it is, as far as that is known."""

    async def decide(self, ask: Ask) -> Verdict:
        """The verdict. What a hook does wrong is told, and is a refusal."""
        match ask:
            case AskConnect():
                return await self._connect(ask)
            case AskAuth():
                return await self._authenticate(ask)
            case AskPublish():
                return await judge_publish(self._calls, self.client, ask.publication)
            case AskSubscribe():
                return await self._subscribe(ask)

    async def _connect(self, ask: AskConnect) -> Verdict:
        calls, method = self._calls, ask.method
        if method is not None:
            properties = ask.connect.properties
            data = None if properties is None else properties.authentication_data
            return await self._begin(method, data, again=False)
        if calls.hooks.authenticate is None:  # it is to authenticate in steps, or to be local
            if not calls.hooks.enhanced:
                calls.turned_away(self.client)
            return _NOT_AUTHORISED
        request = _connect_request(self.client, ask.connect)
        call = partial(call_hook, calls.hooks.authenticate, calls.strangers, request)
        read = partial(self._read, "authenticate")
        return await calls.ask("authenticate", self.client, call, read) or UNAVAILABLE

    async def _authenticate(self, ask: AskAuth) -> Verdict:
        if ask.first:
            return await self._begin(ask.method, ask.data, again=True)
        return await self._step(ask.data, again=ask.again)

    async def _begin(self, method: str, data: bytes | None, *, again: bool) -> Verdict:
        make = self._calls.hooks.enhanced.get(method)
        if make is None:
            return _UNKNOWN_METHOD
        request = AuthenticationRequest(client=self.client, method=method, again=again)
        try:
            self._authentication = make(request)
        except Exception as error:  # noqa: BLE001  # it costs this client only
            self._calls.failed("enhanced", self.client, error)
            return FAILED if again else UNAVAILABLE
        return await self._step(data, again=again)

    async def _step(self, data: bytes | None, *, again: bool) -> Verdict:
        authentication, calls = self._authentication, self._calls
        assert authentication is not None  # the machine sees to the order of the steps
        threads = calls.clients if again else calls.strangers
        call = partial(call_hook, authentication.step, threads, data)
        read = partial(self._read, "enhanced")
        verdict = await calls.ask("enhanced", self.client, call, read)
        if not isinstance(verdict, Challenge):
            self._authentication = None
        if verdict is None:
            return FAILED if again else UNAVAILABLE
        return verdict

    def _read(self, name: str, answer: object) -> Allow | Refuse | Challenge:
        """The answer of a hook that authenticates."""
        match answer:
            case True:
                return ALLOW
            case Accepted():
                self.client = evolve(self.client, identity=answer.identity, until=answer.until)
                return Allow(answer.data)
            case False:
                return self._refuse()
            case Refused():
                return read_refusal(answer)
            case Challenge() if name == "enhanced":
                return answer
        raise no_answer(name, answer, "True, False, Accepted or Refused")

    def _refuse(self) -> Refuse:
        return _NOT_AUTHORISED if self.client.user_name is None else _BAD_PASSWORD

    async def _subscribe(self, ask: AskSubscribe) -> Grants | Refuse:
        user = () if ask.properties is None else ask.properties.user
        verdicts = [
            await self._judge_filter(_subscribe_request(self.client, each, options, user))
            for each, options in ask.subscriptions
        ]
        if len(verdicts) == 1 and isinstance(verdicts[0], Refuse):
            return verdicts[0]  # which may have a text; among several there is room for none
        return Grants(tuple(each.reason if isinstance(each, Refuse) else each for each in verdicts))

    async def _judge_filter(self, request: SubscribeRequest) -> ReasonCode | Refuse:
        calls = self._calls
        assert calls.hooks.authorise_subscribe is not None
        call = partial(call_hook, calls.hooks.authorise_subscribe, calls.clients, request)
        verdict = await calls.ask("authorise_subscribe", self.client, call, _read_subscribe)
        return FAILED if verdict is None else verdict


def _read_subscribe(answer: object) -> ReasonCode | Refuse:
    match answer:
        case True:
            return ReasonCode.GRANTED_QOS_2
        case False:
            return _NOT_AUTHORISED
        case Grant():
            return ReasonCode(answer.qos)
        case Refused():
            return read_refusal(answer)
    raise no_answer("authorise_subscribe", answer, "True, False, a Grant or Refused")


def _connect_request(client: ClientInfo, connect: Connect) -> ConnectRequest:
    return ConnectRequest(
        client=client,
        password=connect.password,
        clean_start=connect.clean_start,
        keep_alive=connect.keep_alive,
        will_topic=None if connect.will is None else connect.will.topic.decode(),
        user_properties=() if connect.properties is None else connect.properties.user,
    )


def _subscribe_request(
    client: ClientInfo,
    topic_filter: bytes,
    options: SubscriptionOptions,
    user_properties: tuple[tuple[str, str], ...],
) -> SubscribeRequest:
    shared = parse_shared(topic_filter)
    return SubscribeRequest(
        client=client,
        topic_filter=(topic_filter if shared is None else shared.topic_filter).decode(),
        group=None if shared is None else shared.group.decode(),
        qos=options.qos,
        no_local=options.no_local,
        retain_as_published=options.retain_as_published,
        retain_handling=options.retain_handling,
        user_properties=user_properties,
    )
