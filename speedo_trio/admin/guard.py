"""The guard: whose requests are answered.

Without a token, a name that a browser was led to must not reach what listens on loopback: a page of
a stranger can have its own name resolve to 127.0.0.1 (DNS rebinding) and would then be of the same
origin. The Host header still tells the stranger's name, and so gives it away.

Next: `speedo_trio.admin.status`.
"""

from __future__ import annotations

import hmac
import re
from base64 import b64decode
from binascii import Error as Base64Error
from http import HTTPStatus
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, TypeAlias

from attrs import field, frozen

from speedo_trio.admin.response import text_response
from speedo_trio.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from attrs import Attribute

    from speedo_trio.admin.request import Request
    from speedo_trio.admin.response import Response
    from speedo_trio.events import Address

_IP: TypeAlias = IPv4Address | IPv6Address

_OPEN = ("/healthz", "/readyz")
"""They tell little, and those who ask often can't send a token."""

_AUTHORITY = re.compile(r"(\[(?P<six>[0-9a-f:.]+)\]|(?P<host>[^:\[\]@]*))(:[0-9]*)?", re.IGNORECASE)

_TOKEN = re.compile(r"[!-~]+")
"""What every client can send as it is, in a header and in a browser's dialogue."""

_UNAUTHORIZED = text_response(
    "the token is needed: Authorization: Bearer TOKEN, or the token as the password",
    HTTPStatus.UNAUTHORIZED,
    {"WWW-Authenticate": 'Basic realm="speedo_trio", charset="UTF-8"'},  # browsers ask for it
)
_MISDIRECTED = text_response(
    "without a token this answers only if it is asked by a loopback address or name, "
    "or by the address that it listens on",
    HTTPStatus.FORBIDDEN,
)


def _host_name(host: str) -> str:
    return host.lower().removesuffix(".")


def _host_names(hosts: Iterable[str]) -> frozenset[str]:
    return frozenset(map(_host_name, hosts))


def _allowed_token(guard: object, attribute: Attribute[str | None], value: str | None) -> None:
    if value is not None and not _TOKEN.fullmatch(value):
        raise ConfigError("the token is not allowed; allowed are printable ASCII and no blanks")


@frozen(kw_only=True)
class Guard:
    """Answers those that have the token or, without one, those that ask for a name of ours."""

    token: str | None = field(default=None, repr=False, validator=_allowed_token)
    hosts: frozenset[str] = field(default=frozenset(), converter=_host_names)
    """More names that may be asked for."""

    def refusal(self, request: Request, local: Address) -> Response | None:
        """What to answer instead, if the request is not to be answered.

        Args:
            request: what is asked.
            local: our end of the connection.
        """
        if self.token is None:
            return None if self._is_ours(request.authority, local) else _MISDIRECTED
        if request.path in _OPEN or _has_token(request.authorization, self.token.encode()):
            return None
        return _UNAUTHORIZED

    def _is_ours(self, authority: str | None, local: Address) -> bool:
        if authority is None or local.scheme == "unix":
            return True  # no browser asks so
        match = _AUTHORITY.fullmatch(authority)
        if match is None:
            return False
        host = _host_name(match["six"] or match["host"])
        return is_loopback(host) or host in self.hosts or _same(host, local.host)


def _has_token(authorization: bytes, token: bytes) -> bool:
    scheme, _, value = authorization.partition(b" ")
    given = value.strip()
    if scheme.lower() == b"basic":
        try:
            given = b64decode(given, validate=True).partition(b":")[2]
        except Base64Error:
            return False
    elif scheme.lower() != b"bearer":
        return False
    return hmac.compare_digest(given, token)


def is_loopback(host: str) -> bool:
    """Whether it is an address or name that leads to this machine only (RFC 6761, 6.3)."""
    address = _address(host)
    if address is not None:
        return address.is_loopback
    return host == "localhost" or host.endswith(".localhost")


def _same(host: str, local: str) -> bool:
    address = _address(host)
    return address is not None and address == _address(local)


def _address(host: str) -> _IP | None:
    try:
        address = ip_address(host)
    except ValueError:
        return None
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address
