"""Keys: what the signatures of tokens are verified with, as a file has them.

A file is one of these:

- A public key or a certificate in PEM (RFC 7468): RSA, on the curves P-256, P-384, P-521 and
  secp256k1, Ed25519 or Ed448.
- A set of keys in JSON (RFC 7517): ``{"keys": [...]}``. Tokens name theirs by ``kid``.
- Anything else is a secret, of 32 bytes at least (RFC 7518, section 3.2); a line's end behind it is
  none of it.

What kind a key is of says which algorithms it is for. What a token says of its algorithm has to be
one of these, so that none can be verified with another's key, or without any.

Next: `speedo_trio.mqtt.security.tokens`.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from speedo_trio.errors import ConfigError

if TYPE_CHECKING:
    from types import ModuleType

LEAST_SECRET: Final = 32
"""Bytes of a secret."""

_RSA: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_SECRET: Final = ("HS256", "HS384", "HS512")
_CURVES: Final = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"} | {
    "secp256k1": "ES256K"
}


@frozen
class Key:
    """One key."""

    value: Any  # as PyJWT wants it: bytes, or one of cryptography's
    algorithms: tuple[str, ...]
    """Those that it is for."""
    fingerprint: bytes
    """What tells it from others."""


@frozen
class Keys:
    """Those of a file."""

    named: dict[str, Key]
    """By ``kid``."""
    only: Key | None
    """The one for tokens that name none."""

    def find(self, kid: str | None) -> Key | None:
        """The key of a token. A single key is for all tokens, whatever they call it."""
        found = None if kid is None else self.named.get(kid)
        return self.only if found is None else found

    @property
    def fingerprints(self) -> frozenset[bytes]:
        """Those of all keys."""
        every = [*self.named.values(), *([] if self.only is None else [self.only])]
        return frozenset(each.fingerprint for each in every)


def import_jwt() -> ModuleType:
    """PyJWT, which is only needed by who has tokens.

    Raises:
        ConfigError: it isn't installed.
    """
    try:
        import cryptography  # noqa: F401, PLC0415  # only who has tokens needs them
        import jwt  # noqa: PLC0415  # the same
    except ImportError as error:
        raise ConfigError(f"tokens need {error.name}: pip install 'speedo_trio[jwt]'") from error
    return jwt


def read_keys(path: str | os.PathLike[str]) -> Keys:
    """Read a file of keys.

    Raises:
        ConfigError: it can't be read, or has no key; or PyJWT isn't installed.
    """
    import_jwt()
    place = os.fspath(path)
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {place}: {error.strerror or error}") from error
    try:
        if data.lstrip().startswith(b"-----BEGIN"):
            return Keys({}, _from_pem(data.strip()))
        if data.lstrip().startswith(b"{"):
            return _from_json(data)
        return Keys({}, _from_secret(data.rstrip(b"\r\n")))
    except ConfigError as error:
        raise ConfigError(f"{place}: {error}") from None


def _from_secret(secret: bytes) -> Key:
    if len(secret) < LEAST_SECRET:
        raise ConfigError(f"the secret has {len(secret)} bytes; allowed are {LEAST_SECRET} or more")
    return Key(secret, _SECRET, hashlib.sha256(secret).digest())


def _from_pem(data: bytes) -> Key:
    from cryptography import x509  # noqa: PLC0415  # as above
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415  # as above

    if b"PRIVATE KEY" in data:
        raise ConfigError("it is a private key, which only who makes tokens should have")
    try:
        if b"BEGIN CERTIFICATE" in data:
            return _public(x509.load_pem_x509_certificate(data).public_key())
        return _public(serialization.load_pem_public_key(data))
    except ValueError as error:
        raise ConfigError(f"no public key can be read from this PEM: {error}") from error


def _public(key: object) -> Key:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415  # as above
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa  # noqa: PLC0415

    if isinstance(key, rsa.RSAPublicKey):
        algorithms: tuple[str, ...] = _RSA
    elif isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
        algorithms = (_CURVES[key.curve.name],)
    elif isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        algorithms = ("EdDSA",)
    else:
        raise ConfigError(
            f"the key is a {type(key).__name__}; allowed are RSA, the curves "
            f"{', '.join(_CURVES)}, Ed25519 and Ed448"
        )
    info = serialization.PublicFormat.SubjectPublicKeyInfo
    der = key.public_bytes(serialization.Encoding.DER, info)
    return Key(key, algorithms, hashlib.sha256(der).digest())


def _from_json(data: bytes) -> Keys:
    try:
        listed = json.loads(data)["keys"]
        keys = [(each.get("kid"), _from_jwk(each)) for each in listed if each.get("use") != "enc"]
    except ConfigError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f'no set of keys, {{"keys": [...]}}: {error!r}') from error
    if not keys:
        raise ConfigError("the set has no key to verify with; allowed is one or more")
    named = {kid: key for kid, key in keys if isinstance(kid, str)}
    return Keys(named, keys[0][1] if len(keys) == 1 else None)


def _from_jwk(listed: dict[str, Any]) -> Key:  # Any: JSON
    jwt = import_jwt()
    if listed.get("kty") == "oct":
        from jwt.algorithms import HMACAlgorithm  # noqa: PLC0415  # as above

        key = _from_secret(HMACAlgorithm.from_jwk(listed))
    else:
        try:
            key = _public(jwt.PyJWK(listed).key)
        except jwt.PyJWTError as error:
            raise ConfigError(f"a key of the set is none: {error}") from error
    own = listed.get("alg")
    if own is None:
        return key
    if own not in key.algorithms:
        raise ConfigError(f"a key's alg is {own!r}; allowed is {' or '.join(key.algorithms)}")
    return Key(key.value, (own,), key.fingerprint)
