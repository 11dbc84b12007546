"""A bridge: messages from this broker to another and back, over one connection after the other.

This ends the tour of the bridge.
"""

from __future__ import annotations

import logging
import random
from typing import TYPE_CHECKING, Final, NoReturn

import trio

from speedo_trio.errors import (
    ConfigError,
    ConnectionClosed,
    ConnectionLost,
    ProtocolError,
    RetainedFull,
    TopicError,
)
from speedo_trio.mqtt.bridging.crossing import Crossing, VersionRefused
from speedo_trio.mqtt.bridging.local import Local
from speedo_trio.mqtt.bridging.tls import tls_context
from speedo_trio.mqtt.bridging.topics import TopicMap
from speedo_trio.mqtt.client.dialing import open_stream
from speedo_trio.mqtt.client.login import MOST_IDS, Login
from speedo_trio.mqtt.client.target import parse_target
from speedo_trio.mqtt.state.capabilities import NEVER, version_named
from speedo_trio.mqtt.wire.versions import Version
from speedo_trio.pubsub.publication import Publication

if TYPE_CHECKING:
    import ssl

    from speedo_trio.mqtt.bridging.settings import BridgeSettings
    from speedo_trio.mqtt.common import Service

_STATE: Final = "$SYS/broker/connection/{}/state"
_PASSWORD_BYTES: Final = 65_535

_logger = logging.getLogger("speedo_trio.mqtt")


class Backoff:
    """How long to wait before the next attempt: longer each time, and not for all the same."""

    def __init__(self, least: float, most: float) -> None:
        self._least = least
        self._most = most
        self._next = least

    def reset(self) -> None:
        """The last attempt was a success."""
        self._next = self._least

    def next(self) -> float:
        """Seconds: between half and all of a time that doubles."""
        seconds = self._next
        self._next = min(self._most, seconds * 2)
        return random.uniform(seconds / 2, seconds)  # noqa: S311  # nobody gains by guessing it


class Bridge:
    """One bridge of a service."""

    def __init__(
        self,
        service: Service,
        settings: BridgeSettings,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """Args: whose it is, how it is set, and TLS in place of what the settings say."""
        self._service = service
        self._settings = settings
        self._ssl_context = ssl_context
        self._topics = TopicMap(settings.topics)
        self._local = Local(service, settings.local_id)
        self._backoff = Backoff(settings.reconnect_min, settings.reconnect_max)
        self._private = True  # whether the bit of bridges is understood, as far as is known
        self._failure = ""  # that was told last
        self._connected = False

    async def run(self) -> NoReturn:
        """Connect again and again, until cancelled.

        Then the other broker is told, and the session here waits for the next time.
        """
        self._tell_state(up=False)
        try:
            while True:
                await self._local.enter(self._topics.local_filters)
                error = await self._try()
                self._lost(error)
                if not isinstance(error, VersionRefused) or not self._without_bit():
                    await trio.sleep(self._backoff.next())
        finally:
            self._connected = False
            self._tell_state(up=False)
            self._local.leave()

    async def _try(self) -> Exception:
        """Connect, and serve the connection until its end; why it has ended."""
        try:
            await self._cross()
        except (ConnectionClosed, ProtocolError, ConfigError) as error:
            return error
        return ConnectionLost(f"no answer within {self._settings.connect_timeout:g} s")

    async def _cross(self) -> None:
        settings, target = self._settings, parse_target(self._settings.url)
        with trio.move_on_after(settings.connect_timeout) as patience:

            def ready() -> None:
                patience.deadline = float("inf")
                self._ready()

            login = await self._login()
            context = self._ssl_context
            if target.secure and context is None:
                context = tls_context(settings)
            stream = await open_stream(target, context)
            own = self._service.capabilities
            crossing = Crossing(stream, login, self._topics, self._local, own, settings)
            await crossing.run(ready)

    async def _login(self) -> Login:
        settings = self._settings
        version = version_named(settings.version)
        five = version is Version.MQTT_5_0
        return Login(
            client_id=settings.remote_id,
            version=version,
            clean_start=settings.clean_start,
            session_expiry=0 if settings.clean_start or not five else NEVER,
            keep_alive=settings.keep_alive,
            user_name=settings.user_name,
            password=await self._password(),
            receive_maximum=MOST_IDS,
            maximum_packet_size=settings.maximum_packet_size,
            bridge=self._private,
        )

    async def _password(self) -> bytes | None:
        path, password = self._settings.password_file, self._settings.password
        if path is None:
            return password.encode() if isinstance(password, str) else password
        try:
            content = await trio.Path(path).read_bytes()
        except OSError as error:
            raise ConfigError(f"password_file is {path!r}: {error.strerror}") from error
        found = content.removesuffix(b"\n").removesuffix(b"\r")
        if not found or b"\n" in found or len(found) > _PASSWORD_BYTES:
            raise ConfigError(f"password_file is {path!r}; allowed is one line with the password")
        return found

    def _without_bit(self) -> bool:
        """Try without the bit of bridges, if that was not it; whether to do so at once."""
        if not self._private or self._settings.version == "5.0":
            return False
        self._private = False
        return True

    # What is told

    def _ready(self) -> None:
        self._connected = True
        self._failure = ""
        self._backoff.reset()
        _logger.info("bridge %s: connected to %s", self._settings.name, self._settings.url)
        self._tell_state(up=True)

    def _lost(self, error: Exception) -> None:
        """Tell of an end, or of a failure that is not the one before."""
        text = str(error)
        if self._connected or text != self._failure:
            _logger.warning("bridge %s: %s", self._settings.name, text)
        self._failure = text
        if self._connected:
            self._connected = False
            self._tell_state(up=False)

    def _tell_state(self, *, up: bool) -> None:
        """Publish the state as mosquitto does."""
        topic = _STATE.format(self._settings.name).encode()
        core = self._service.core
        try:
            core.route(Publication(topic, b"1" if up else b"0", retain=True))
            core.published -= 1  # nobody asked for it
        except (RetainedFull, TopicError):  # who is subscribed got it, if that is allowed
            pass
        core.flush()
