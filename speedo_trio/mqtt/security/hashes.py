"""Hashes of passwords, as the lines of a password file have them.

Own ones are scrypt (RFC 7914) in the PHC string format, ``$scrypt$ln=14,r=8,p=1$SALT$HASH``: the
parameters stand in the line, so that they may be raised and older lines go on to hold. Those of
mosquitto are read, too: ``$7$ROUNDS$SALT$HASH`` (PBKDF2 with SHA-512) and ``$6$SALT$HASH`` (SHA-512
of password and salt, from before 2.0).

Next: `speedo_trio.mqtt.security.users`.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from typing import Final, Protocol

from attrs import field, frozen

from speedo_trio.errors import ConfigError

COST: Final = 14
"""2 to the power of this is scrypt's N: 16 MiB and some 50 ms for each look at a password."""
LEAST_COST, MOST_COST = 4, 20
_R, _P = 8, 1
_SALT_BYTES, _HASH_BYTES = 16, 32
_MOST_R, _MOST_P = 32, 16
_MOST_ROUNDS = 10_000_000

_SCRYPT = re.compile(r"\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([^$]+)\$([^$]+)")
_PBKDF2 = re.compile(r"\$7\$(\d{1,8})\$([^$]+)\$([^$]+)")
_SHA512 = re.compile(r"\$6\$([^$]+)\$([^$]+)")


class PasswordHash(Protocol):
    """What a password can be checked by. ``str()`` gives it as it stands in a line."""

    def check(self, password: bytes) -> bool:
        """Whether it is the password. Takes as long as its parameters want, off the loop."""


@frozen
class Scrypt:
    """One of our own."""

    cost: int
    r: int
    p: int
    salt: bytes = field(repr=False)
    digest: bytes = field(repr=False)

    @classmethod
    def make(cls, password: bytes, cost: int = COST) -> Scrypt:
        """Hash a password with a new salt. Takes as long as `check`.

        Args:
            cost: from 4 to 20; each more doubles time and memory.
        """
        salt = secrets.token_bytes(_SALT_BYTES)
        return cls(cost, _R, _P, salt, _scrypt(password, salt, cost, _R, _P, _HASH_BYTES))

    def check(self, password: bytes) -> bool:
        found = _scrypt(password, self.salt, self.cost, self.r, self.p, len(self.digest))
        return hmac.compare_digest(found, self.digest)

    def __str__(self) -> str:
        salt, digest = _unpadded(self.salt), _unpadded(self.digest)
        return f"$scrypt$ln={self.cost},r={self.r},p={self.p}${salt}${digest}"


@frozen
class PBKDF2:
    """One that mosquitto_passwd makes."""

    rounds: int
    salt: bytes = field(repr=False)
    digest: bytes = field(repr=False)

    def check(self, password: bytes) -> bool:
        size = len(self.digest)
        found = hashlib.pbkdf2_hmac("sha512", password, self.salt, self.rounds, size)
        return hmac.compare_digest(found, self.digest)

    def __str__(self) -> str:
        return f"$7${self.rounds}${b64encode(self.salt).decode()}${b64encode(self.digest).decode()}"


@frozen
class SHA512:
    """One that mosquitto_passwd made before 2.0: it is quick to compute, and so quick to guess."""

    salt: bytes = field(repr=False)
    digest: bytes = field(repr=False)

    def check(self, password: bytes) -> bool:
        return hmac.compare_digest(hashlib.sha512(password + self.salt).digest(), self.digest)

    def __str__(self) -> str:
        return f"$6${b64encode(self.salt).decode()}${b64encode(self.digest).decode()}"


def parse_hash(text: str) -> PasswordHash:
    """Read what stands behind the name in a line.

    Raises:
        ConfigError: it is none of these, or asks for more work than is allowed.
    """
    if found := _SCRYPT.fullmatch(text):
        cost, r, p = map(int, found.group(1, 2, 3))
        in_bounds = LEAST_COST <= cost <= MOST_COST and 1 <= r <= _MOST_R and 1 <= p <= _MOST_P
        if not in_bounds:
            raise ConfigError(
                f"scrypt with ln={cost}, r={r}, p={p}; allowed are {LEAST_COST} to {MOST_COST}, "
                f"1 to {_MOST_R} and 1 to {_MOST_P}"
            )
        return Scrypt(cost, r, p, _bytes(found[4]), _bytes(found[5]))
    if found := _PBKDF2.fullmatch(text):
        rounds = int(found[1])
        if not 1 <= rounds <= _MOST_ROUNDS:
            raise ConfigError(f"PBKDF2 with {rounds} rounds; allowed are 1 to {_MOST_ROUNDS}")
        return PBKDF2(rounds, _bytes(found[2]), _bytes(found[3]))
    if found := _SHA512.fullmatch(text):
        return SHA512(_bytes(found[1]), _bytes(found[2]))
    kind = re.match(r"\$[\w-]+\$", text)
    raise ConfigError(
        f"the password is {kind[0] + '…' if kind else 'not hashed'}; allowed are $scrypt$, and "
        "mosquitto's $7$ and $6$"
    )


def _scrypt(password: bytes, salt: bytes, cost: int, r: int, p: int, size: int) -> bytes:
    n = 1 << cost
    memory = 128 * r * (n + p + 2) + 65_536  # OpenSSL's own limit would be 32 MiB
    return hashlib.scrypt(password, salt=salt, n=n, r=r, p=p, maxmem=memory, dklen=size)


def _unpadded(data: bytes) -> str:
    return b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    try:
        data = b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (Base64Error, ValueError):
        data = b""
    if not data:
        raise ConfigError("salt or hash is not Base64; allowed is what the tool has written")
    return data
