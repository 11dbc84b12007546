"""Security as settings ask for it: hooks for an `MQTT`, and a change of settings while it serves.

This ends the tour of security.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from speedo_trio.mqtt.hooks import Hooks
from speedo_trio.mqtt.security.acl import Both
from speedo_trio.mqtt.security.acl_file import ACLFile
from speedo_trio.mqtt.security.doorman import Doorman
from speedo_trio.mqtt.security.failures import Failures
from speedo_trio.mqtt.security.password_file import PasswordFile
from speedo_trio.mqtt.security.settings import SecuritySettings
from speedo_trio.mqtt.security.threads import THREADS
from speedo_trio.mqtt.security.tokens import Tokens
from speedo_trio.mqtt.security.user import Proof, User

if TYPE_CHECKING:
    from collections.abc import Callable

    from speedo_trio.mqtt.hooks import TopicRights
    from speedo_trio.mqtt.requests import ClientInfo


class Security:
    """All that settings say about who comes in and what it may do.

    ::

        security = Security(SecuritySettings(password_file="passwords", acl_file="acl"))
        mqtt = MQTT(hooks=security.hooks)
    """

    def __init__(self, settings: SecuritySettings | None = None) -> None:
        """Read the files.

        Raises:
            ConfigError: one can't be read, or has a mistake in it.
        """
        settings = SecuritySettings() if settings is None else settings
        path = settings.password_file
        self.settings: SecuritySettings = settings
        """Those that hold."""
        self._acl = None if settings.acl_file is None else ACLFile(settings.acl_file)
        self._doorman = Doorman(
            passwords=None
            if path is None
            else PasswordFile(path, threads=settings.password_threads or THREADS),
            tokens=_tokens(settings),
            certificate_user=settings.certificate_user,
            allow_anonymous=settings.allow_anonymous,
            failures=Failures(settings.failed_logins),
        )

    @property
    def hooks(self) -> Hooks:
        """What decides: `Hooks.authenticate` and `Hooks.authorise`. Evolve it to add others."""
        return Hooks(authenticate=self._doorman, authorise=self._authorise)

    @property
    def failed_logins(self) -> int:
        """Logins that were looked at, and were wrong."""
        return self._doorman.failures.failed

    @property
    def refused_logins(self) -> int:
        """Logins that were refused unseen, as too many from their address had failed."""
        return self._doorman.failures.refused

    def adopt(self, other: Security) -> Callable[[ClientInfo], bool]:
        """Hold to what another one has read and been set to, for new clients.

        Afterwards call `MQTT.refresh_rights`, and end the connections of those who would not come
        in any more by `MQTT.disconnect_where`. The other one is of no use afterwards.

        Returns:
            Whether a client would not come in any more as it did.
        """
        old, new = self._doorman.passwords, other._doorman.passwords
        both = old is not None and new is not None
        changed = old.adopt(new) if old is not None and new is not None else None
        ours, theirs = self._doorman, other._doorman
        ours.passwords = old if both else new
        tokens, ours.tokens = ours.tokens, theirs.tokens
        ours.certificate_user = theirs.certificate_user
        ours.allow_anonymous = theirs.allow_anonymous
        ours.failures.most = theirs.failures.most
        self._acl = other._acl
        self.settings = other.settings

        def must_go(client: ClientInfo) -> bool:
            user = client.identity
            if not isinstance(user, User):
                return False
            match user.proof:
                case Proof.PASSWORD:
                    return changed is None or user.name in changed
                case Proof.TOKEN:
                    new_tokens = ours.tokens
                    return (
                        tokens is None
                        or new_tokens is None
                        or not new_tokens.still_good(user, tokens)
                    )
                case Proof.CERTIFICATE:
                    return ours.certificate_user is None
                case _:
                    proofs = ours.passwords, ours.tokens
                    named = user.name is not None and any(each is not None for each in proofs)
                    return named or not ours.admits_anonymous(client.peer)

        return must_go

    def _authorise(self, client: ClientInfo) -> TopicRights | None:
        user = client.identity
        shown = user.rights if isinstance(user, User) else None
        ruled = None if self._acl is None else self._acl(client)
        if shown is None or ruled is None:
            return shown or ruled
        return Both(shown, ruled)


def _tokens(settings: SecuritySettings) -> Tokens | None:
    if settings.jwt_key_file is None:
        return None
    return Tokens(
        settings.jwt_key_file,
        audience=settings.jwt_audience,
        issuer=settings.jwt_issuer,
        user_claim=settings.jwt_user_claim,
        leeway=settings.jwt_leeway,
        threads=settings.password_threads or THREADS,
    )
