"""Tokens: JSON Web Tokens (RFC 7519) in the place of passwords.

A client gives one as its password. The claim that names the user is who it is; a user name that it
gives beside has to be the same. When the token expires the connection ends, with 0xA0 for clients
of 5.0.

Next: `speedo_trio.mqtt.security.doorman`.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Final

import trio

from speedo_trio.errors import ConfigError, TopicError
from speedo_trio.mqtt.security.acl import Access, Rights, Rule
from speedo_trio.mqtt.security.keys import import_jwt, read_keys
from speedo_trio.mqtt.security.threads import BUSY, THREADS, Threads
from speedo_trio.mqtt.security.user import Proof, User
from speedo_trio.mqtt.verdicts import Accepted, Refused
from speedo_trio.mqtt.wire.reason_codes import ReasonCode
from speedo_trio.pubsub.topics import check_filter

if TYPE_CHECKING:
    from speedo_trio.mqtt.requests import ConnectRequest
    from speedo_trio.mqtt.security.keys import Keys

MOST_RULES: Final = 1000
"""Topic filters that a token may have: each is looked at for each topic."""
_ACCESS: Final = {"pub": Access.WRITE, "sub": Access.READ, "all": Access.BOTH}
_WRONG: Final = Refused(ReasonCode.BAD_USER_NAME_OR_PASSWORD)


class Tokens:
    """Lets those in who have a token that is good: for `Hooks.authenticate`.

    ::

        Hooks(authenticate=Tokens("/etc/mqtt/issuer.pem", audience="mqtt.example.org"))

    Needs PyJWT: ``pip install 'speedo_trio[jwt]'``. A token needs a signature by a key of the file,
    ``exp``, and the claim that names the user; ``nbf`` and ``iat`` are looked at when they are
    there. With ``"acl": {"pub": [...], "sub": [...], "all": [...]}``, lists of topic filters, the
    client may do just that: in filters ``%c`` is its identifier and ``%u`` the user name. That
    holds by `Security`, or a hook `authorise` that gives `User.rights`.
    """

    def __init__(
        self,
        key_file: str | os.PathLike[str],
        *,
        audience: str | None = None,
        issuer: str | None = None,
        user_claim: str = "sub",
        leeway: float = 0.0,
        threads: int = THREADS,
    ) -> None:
        """Read the keys.

        Args:
            key_file: a public key or certificate in PEM, a set of keys in JSON, or a secret.
            audience: what ``aud`` has to be, or contain; None: tokens for others are good too.
            issuer: what ``iss`` has to be; None: whoever has the key.
            user_claim: which claim names the user.
            leeway: seconds that clocks may differ by.
            threads: how many tokens are looked at at the same time.

        Raises:
            ConfigError: the file can't be read, or has no key; PyJWT isn't installed.
        """
        self._path = os.fspath(key_file)
        self._audience, self._issuer = audience, issuer
        self._user_claim, self._leeway = user_claim, leeway
        self._threads = Threads(threads)
        self._jwt = import_jwt()
        self._keys: Keys = read_keys(key_file)

    def reload(self) -> None:
        """Read the keys again. Blocks for as long as that takes.

        Raises:
            ConfigError: as when it was made; then all is as before.
        """
        self._keys = read_keys(self._path)

    def still_good(self, user: User, before: Tokens) -> bool:
        """Whether who has shown a token to `before` would come in with it here."""
        same = (self._audience, self._issuer, self._user_claim) == (
            before._audience,
            before._issuer,
            before._user_claim,
        )
        return same and user.key in self._keys.fingerprints

    async def __call__(self, request: ConnectRequest) -> Accepted | Refused:
        """May it connect? The hook."""
        if self._threads.full:
            await trio.lowlevel.checkpoint()
            return BUSY
        return await self._threads.look(partial(self._check, request))

    def _check(self, request: ConnectRequest) -> Accepted | Refused:
        jwt = self._jwt
        try:
            token = (request.password or b"").decode("ascii")
            key = self._keys.find(jwt.get_unverified_header(token).get("kid"))
            if key is None:
                return _WRONG
            claims = jwt.decode(
                token,
                key.value,
                algorithms=list(key.algorithms),
                audience=self._audience,
                issuer=self._issuer,
                leeway=self._leeway,
                options={
                    "require": ["exp", self._user_claim],
                    "verify_aud": self._audience is not None,
                },
            )
            name = claims[self._user_claim]
            if not isinstance(name, str) or request.user_name not in {None, "", name}:
                return _WRONG
            rights = rights_of(claims.get("acl"), request.client.client_id, name)
        except (UnicodeDecodeError, jwt.PyJWTError, ConfigError):
            return _WRONG
        user = User(name, Proof.TOKEN, rights, key.fingerprint)
        return Accepted(identity=user, until=float(claims["exp"]) + self._leeway)


def looks_like_a_token(password: bytes | None) -> bool:
    """Whether a password may be a token: three parts, the first of which begins as JSON does."""
    return password is not None and password.startswith(b"eyJ") and password.count(b".") == 2


def rights_of(acl: object, client_id: str, name: str) -> Rights | None:
    """What a token's ``acl`` allows; None without one: nothing is said.

    In filters ``%c`` is the client identifier and ``%u`` the user name. What no filter allows is
    forbidden. Those whose names have wildcards get nothing by filters with these.

    Raises:
        ConfigError: it is none.
    """
    if acl is None:
        return None
    if not isinstance(acl, dict) or not acl.keys() <= _ACCESS.keys():
        raise ConfigError(f"acl is {acl!r}; allowed are lists of filters: {', '.join(_ACCESS)}")
    found: list[Rule] = []
    for kind, filters in acl.items():
        if not isinstance(filters, list):
            raise ConfigError(f"{kind} is {filters!r}; allowed is a list of filters")
        found += [_rule(each, _ACCESS[kind]) for each in filters]
    if len(found) > MOST_RULES:
        raise ConfigError(f"acl has {len(found)} filters; allowed are {MOST_RULES}")
    plain = tuple(each for each in found if b"%" not in each.topic_filter)
    own, user = client_id.encode(), name.encode()
    mine = [each.of(own, user) for each in found if b"%" in each.topic_filter]
    barred = bool({*"+#"} & {*client_id, *name})
    return Rights(plain, tuple(each for each in mine if each is not None), barred=barred)


def _rule(topic_filter: object, access: Access) -> Rule:
    if not isinstance(topic_filter, str):
        raise ConfigError(f"a filter is {topic_filter!r}; allowed is a text")
    try:
        check_filter(topic_filter.encode())
    except (TopicError, UnicodeEncodeError) as error:
        raise ConfigError(f"{topic_filter!r} is no filter: {error}") from error
    return Rule(topic_filter.encode(), access)
