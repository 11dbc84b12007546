"""A client's certificate as its user name, as mosquitto takes it.

Next: `speedo_trio.mqtt.security.settings`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

CertificateUser: TypeAlias = Literal["cn", "subject"]
"""What of it is the name: the subject's common name, or the whole subject as RFC 2253 writes it."""

_SHORT: Final = {
    "commonName": "CN",
    "countryName": "C",
    "domainComponent": "DC",
    "emailAddress": "emailAddress",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "stateOrProvinceName": "ST",
    "streetAddress": "street",
    "userId": "UID",
}
_SPECIAL: Final = re.compile(r'[,+"\\<>;]|^[ #]| $')


def user_of(certificate: Mapping[str, object], kind: CertificateUser) -> str | None:
    """The user name; None: it has none, or one with a NUL, which is somebody's trick.

    Args:
        certificate: as `ssl.SSLSocket.getpeercert` gives it.
    """
    subject = cast("tuple[tuple[tuple[str, str], ...], ...]", certificate.get("subject") or ())
    if kind == "cn":
        names = [value for part in subject for key, value in part if key == "commonName"]
        found = names[0] if names else ""
    else:
        found = ",".join("+".join(map(_written, part)) for part in reversed(subject))
    return found if found and "\0" not in found else None


def _written(attribute: tuple[str, str]) -> str:
    key, value = attribute
    return f"{_SHORT.get(key, key)}={_SPECIAL.sub(lambda found: chr(92) + found[0], value)}"
