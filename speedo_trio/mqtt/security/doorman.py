"""The doorman: may a client come in, and as whom? All that settings say of that, as one hook.

In this order: a certificate names its user; a token is shown as a password; a user name goes with a
password of the file; without credentials it depends on where the client is. Who fails too often
isn't looked at for a while.

Next: `speedo_trio.mqtt.security.security`.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from attrs import define, field

from speedo_trio.mqtt.calls import TURNED_AWAY
from speedo_trio.mqtt.security.addresses import is_local
from speedo_trio.mqtt.security.certificate import CertificateUser, user_of
from speedo_trio.mqtt.security.failures import Failures
from speedo_trio.mqtt.security.tokens import Tokens, looks_like_a_token
from speedo_trio.mqtt.security.user import Proof, User
from speedo_trio.mqtt.verdicts import Accepted, Refused
from speedo_trio.mqtt.wire.reason_codes import ReasonCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from speedo_trio.events import Address
    from speedo_trio.mqtt.requests import ClientInfo, ConnectRequest
    from speedo_trio.mqtt.security.anonymous import AnonymousPolicy
    from speedo_trio.mqtt.security.password_file import PasswordFile

_TOO_OFTEN: Final = Refused(
    ReasonCode.CONNECTION_RATE_EXCEEDED, "too many logins from this address have failed"
)
_WRONG: Final = Refused(ReasonCode.BAD_USER_NAME_OR_PASSWORD)
_NOBODY: Final = Refused(ReasonCode.NOT_AUTHORIZED)

_logger = logging.getLogger("speedo_trio.mqtt")


@define(eq=False)
class Doorman:
    """Decides who comes in. The attributes may change; those who are in stay."""

    passwords: PasswordFile | None = None
    tokens: Tokens | None = None
    certificate_user: CertificateUser | None = None
    allow_anonymous: AnonymousPolicy = "local"
    failures: Failures = field(factory=lambda: Failures(None))
    clock: Callable[[], float] = time.monotonic
    _warned: bool = False

    async def __call__(self, request: ConnectRequest) -> Accepted | Refused:
        """May it connect? The hook."""
        client = request.client
        if self.certificate_user is not None and client.tls is not None:
            certificate = client.tls.certificate
            if certificate is not None:
                name = user_of(certificate, self.certificate_user)
                return _WRONG if name is None else _accept(name, Proof.CERTIFICATE)
        if self.tokens is not None and self._shows_token(request):
            return await self._show_token(request, self.tokens)
        if request.user_name is not None and self.passwords is not None:
            return await self._log_in(request, request.user_name, self.passwords)
        return self._let_in(client)

    def admits_anonymous(self, peer: Address) -> bool:
        """Whether who is there needs no credentials."""
        policy = self.allow_anonymous
        return policy == "always" or (policy == "local" and is_local(peer))

    async def _log_in(
        self, request: ConnectRequest, name: str, passwords: PasswordFile
    ) -> Accepted | Refused:
        failures, peer = self.failures, request.client.peer
        if not failures.may_try(peer, self.clock()):
            return _TOO_OFTEN
        # Counted before it is looked at, so that a thousand at the same time are not all let try.
        failures.charge(peer, self.clock())
        right = await passwords.check(name, request.password or b"")
        if right is False:
            self._tell_failure(name, peer)
            return _WRONG
        failures.refund(peer)
        return right if isinstance(right, Refused) else _accept(name, Proof.PASSWORD)

    def _shows_token(self, request: ConnectRequest) -> bool:
        """Whether it is a token that decides. Without a password file one is due for a name."""
        if self.passwords is None:
            return request.password is not None or request.user_name is not None
        return looks_like_a_token(request.password)

    async def _show_token(self, request: ConnectRequest, tokens: Tokens) -> Accepted | Refused:
        failures, peer = self.failures, request.client.peer
        if not failures.may_try(peer, self.clock()):
            return _TOO_OFTEN
        failures.charge(peer, self.clock())  # before it is looked at, as above
        answer = await tokens(request)
        if isinstance(answer, Refused) and answer.reason is _WRONG.reason:
            self._tell_failure(request.user_name or "", peer)
        else:
            failures.refund(peer)
        return answer

    def _let_in(self, client: ClientInfo) -> Accepted | Refused:
        if self.admits_anonymous(client.peer):
            return _accept(client.user_name, Proof.NOTHING)
        if not self._warned:
            self._warned = True
            _logger.warning(TURNED_AWAY, client.client_id, client.peer, self.allow_anonymous)
        return _NOBODY

    def _tell_failure(self, name: str, peer: Address) -> None:
        self.failures.failed += 1
        _logger.info("login of %r from %s failed", name[:100], peer)
        if not self.failures.has_room(peer, self.clock()):
            _logger.warning("too many logins from %s have failed; more are refused unseen", peer)


def _accept(name: str | None, proof: Proof) -> Accepted:
    return Accepted(identity=User(name, proof))
