"""The settings of security: which files and keys, and whom to let in.

Next: `speedo_trio.mqtt.security.doorman`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from attrs import field, frozen

from speedo_trio.errors import ConfigError
from speedo_trio.mqtt.security.anonymous import AnonymousPolicy, check_anonymous
from speedo_trio.mqtt.security.certificate import CertificateUser

if TYPE_CHECKING:
    from collections.abc import Callable

    from attrs import Attribute


def _choices(alias: object) -> str:
    return " or ".join(map(repr, get_args(alias)))


def _none(value: object) -> object:
    return None if isinstance(value, str) and value.lower() == "none" else value


def _file_or_none(value: str | None) -> str | None:
    return None if _none(value) is None else value


def _user_or_none(value: CertificateUser | None) -> CertificateUser | None:
    return None if _none(value) is None else value


def _file(owner: object, attribute: Attribute[Any], value: object) -> None:  # Any: as above
    if value is not None and not (isinstance(value, str) and value):
        raise ConfigError(f"{attribute.name} is {value!r}; allowed is a path, or none")


def _certificate_user(owner: object, attribute: Attribute[Any], value: object) -> None:  # Any
    if value is not None and value not in get_args(CertificateUser):
        allowed = _choices(CertificateUser)
        raise ConfigError(f"{attribute.name} is {value!r}; allowed is {allowed}, or none")


def _text(owner: object, attribute: Attribute[Any], value: object) -> None:  # Any: as above
    if value is not None and not (isinstance(value, str) and value):
        raise ConfigError(f"{attribute.name} is {value!r}; allowed is a text, or none")


def _claim(owner: object, attribute: Attribute[Any], value: object) -> None:  # Any: as above
    if not (isinstance(value, str) and value):
        raise ConfigError(f"{attribute.name} is {value!r}; allowed is the name of a claim")


def _leeway(owner: object, attribute: Attribute[Any], value: object) -> None:  # Any: as above
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value <= 86_400:  # type: ignore[operator]  # it is one
        raise ConfigError(
            f"{attribute.name} is {value!r}; allowed is a number of seconds from 0 to 86400"
        )


def _whole_or_none(most: int) -> Callable[[object, Attribute[Any], object], None]:  # Any: as above
    def validate(owner: object, attribute: Attribute[Any], value: object) -> None:  # Any: as above
        if value is not None and (type(value) is not int or not 1 <= value <= most):
            raise ConfigError(
                f"{attribute.name} is {value!r}; allowed is a whole number from 1 to {most} or none"
            )

    return validate


@frozen(kw_only=True)
class SecuritySettings:
    """Who may come in, and who may do what."""

    password_file: str | None = field(default=None, converter=_file_or_none, validator=_file)
    """A file with users and their hashed passwords, as "trio-speedo passwd" and mosquitto_passwd
    write it. Read again on a reload."""
    acl_file: str | None = field(default=None, converter=_file_or_none, validator=_file)
    """A file that says who may publish and get what, in mosquitto's syntax. Read again on a reload.
    none: all is allowed to who comes in."""
    jwt_key_file: str | None = field(default=None, converter=_file_or_none, validator=_file)
    """A file with what tokens (JWT) are verified by, which clients give as their passwords: a
    public key or certificate in PEM, a set of keys in JSON, or a secret. Read again on a reload.
    none: tokens are nothing special."""
    jwt_audience: str | None = field(default=None, converter=_file_or_none, validator=_text)
    """What the claim "aud" of a token has to be, or contain. none: it is not looked at."""
    jwt_issuer: str | None = field(default=None, converter=_file_or_none, validator=_text)
    """What the claim "iss" of a token has to be. none: it is not looked at."""
    jwt_user_claim: str = field(default="sub", validator=_claim)
    """The claim of a token that names the user."""
    jwt_leeway: float = field(default=0.0, validator=_leeway)
    """Seconds by which the clock of who makes tokens may differ."""
    allow_anonymous: AnonymousPolicy = field(default="local", validator=check_anonymous)
    """Whom to let in without credentials: "local" are clients at a loopback address or a Unix
    socket; behind a trusted proxy it is their own address that counts."""
    certificate_user: CertificateUser | None = field(
        default=None, converter=_user_or_none, validator=_certificate_user
    )
    """What of a TLS client's certificate is its user name, which then needs no password: "cn", the
    common name, or "subject", all of the subject. none: certificates name nobody."""
    failed_logins: int | None = field(default=20, validator=_whole_or_none(1_000_000))
    """Logins from one address that may fail at once, and in each minute. While more have, those
    from there are refused unseen. none: any number."""
    password_threads: int | None = field(default=None, validator=_whole_or_none(64))
    """Passwords that are looked at at the same time. none: one less than there are processors, 4
    at most."""
