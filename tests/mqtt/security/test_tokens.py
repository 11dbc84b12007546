"""Tokens: who comes in with one, what it may do, and when it has to go."""

from __future__ import annotations

import hmac
import json
import sys
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
import trio
import trio.testing
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from speedo_trio.errors import ConfigError
from speedo_trio.mqtt import ClientInfo, Hooks, Proof, Security, SecuritySettings, Tokens, User
from speedo_trio.mqtt.security.keys import read_keys
from speedo_trio.mqtt.security.tokens import looks_like_a_token, rights_of
from speedo_trio.mqtt.wire.packets import Disconnect
from speedo_trio.mqtt.wire.properties import Properties
from tests.mqtt.security.test_security import R, Scene, gets, line, publishes, scene
from tests.mqtt.wired import V311, Wired

SECRET = b"a secret of thirty-two bytes, or more"
OTHER = b"another secret of 32 bytes, no less"
RSA_KEY = rsa.generate_private_key(65_537, 2048)
LASTS = Properties(session_expiry_interval=100)
KEYS: dict[str, Any] = {
    "RS256": RSA_KEY,
    "PS384": RSA_KEY,
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "ES384": ec.generate_private_key(ec.SECP384R1()),
    "ES512": ec.generate_private_key(ec.SECP521R1()),
    "ES256K": ec.generate_private_key(ec.SECP256K1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


def token(
    key: Any = SECRET, algorithm: str = "HS256", kid: str | None = None, **claims: Any
) -> bytes:
    """A token of alice's that is good for a while; a claim of None is left out."""
    given = {"sub": "alice", "exp": time.time() + 600} | claims
    known = {name: value for name, value in given.items() if value is not None}
    headers = None if kid is None else {"kid": kid}
    return jwt.encode(known, key, algorithm, headers=headers).encode()


def pem(key: Any) -> bytes:
    """The public half of a key."""
    info = serialization.PublicFormat.SubjectPublicKeyInfo
    made: bytes = key.public_key().public_bytes(serialization.Encoding.PEM, info)
    return made


def jwk(key: Any, kid: str, **more: Any) -> dict[str, Any]:
    """The same, for a set."""
    algorithms = {RSA_KEY: "RS256"}
    algorithm = jwt.get_algorithm_by_name(algorithms.get(key, "ES256"))
    made = json.loads(algorithm.to_jwk(key.public_key()))
    return {**made, "kid": kid, **more}


def change(path: Path, data: bytes) -> None:
    """Write another file in its place."""
    path.write_bytes(data)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file with a secret."""
    path = tmp_path / "secret"
    path.write_bytes(SECRET + b"\n")
    return path


def security(path: Path, **settings: Any) -> Security:
    """With a file of keys."""
    return Security(SecuritySettings(jwt_key_file=str(path), **settings))


async def comes_in(on: Scene, password: bytes, user_name: str | None = "alice") -> bool:
    """Whether a client does."""
    reason = await on.reason(user_name=user_name, password=password)
    assert reason in {R.SUCCESS, R.BAD_USER_NAME_OR_PASSWORD}
    return reason is R.SUCCESS


# Who comes in


async def test_a_good_token(secret: Path) -> None:
    """With the user name, without one, and with an empty one; 3.1.1 as well."""
    async with scene(security(secret).hooks) as on:
        for name in ("alice", None, ""):
            assert await comes_in(on, token(), name)
        assert await on.reason(version=V311, user_name="alice", password=token()) is R.SUCCESS


@pytest.mark.parametrize(
    "wrong",
    [
        token(OTHER),
        token(exp=time.time() - 1),
        token(exp=None),
        token(sub=None),
        token(sub=3),
        token(nbf=time.time() + 100_000),
        token(iat=time.time() + 100_000),
        token(None, "none"),
        token()[:-3] + b"abc",
        b"no token",
        b"\xff\xfe",
        b"",
        token(acl=[]),
        token(acl={"pub": "a"}),
        token(acl={"pub": ["a/#/b"]}),
        token(acl={"pub": ["a"] * 1001}),
        token(acl={"sub": [3]}),
        token(acl={"publish": []}),
    ],
    ids="abcdefghijklmnopqr",  # tokens are others each time, and names of tests must not be
)
async def test_a_token_that_is_no_good(wrong: bytes, secret: Path) -> None:
    """Of another key, expired, without what is needed, not yet good, unsigned, changed, or none."""
    async with scene(security(secret).hooks) as on:
        assert not await comes_in(on, wrong)


async def test_the_name_is_that_of_the_token(secret: Path) -> None:
    """Who gives another, or a name and no token, does not come in; who gives nothing is nobody."""
    async with scene(security(secret).hooks) as on:
        assert not await comes_in(on, token(), "bob")
        assert await on.reason(user_name="alice") is R.BAD_USER_NAME_OR_PASSWORD
        assert await on.reason() is R.SUCCESS  # it is local


async def test_audience_and_issuer(secret: Path) -> None:
    """Of who makes tokens, and for us, among others."""
    hooks = security(secret, jwt_audience="we", jwt_issuer="they", jwt_user_claim="user").hooks
    good: dict[str, Any] = {"aud": ["we", "others"], "iss": "they", "user": "alice", "sub": "x"}
    async with scene(hooks) as on:
        assert await comes_in(on, token(**good))
        for change in ({"aud": "others"}, {"aud": None}, {"iss": "me"}, {"iss": None}):
            assert not await comes_in(on, token(**{**good, **change}))
        assert not await comes_in(on, token(**{**good, "user": None}))


async def test_clocks_may_differ(secret: Path) -> None:
    """By as much as is allowed."""
    async with scene(security(secret, jwt_leeway=60).hooks) as on:
        assert await comes_in(on, token(exp=time.time() - 30))
        assert not await comes_in(on, token(exp=time.time() - 90))


@pytest.mark.parametrize("algorithm", KEYS)
async def test_public_keys(algorithm: str, tmp_path: Path) -> None:
    """Each kind has its algorithms, and is no secret for others."""
    path = tmp_path / "key"
    path.write_bytes(pem(KEYS[algorithm]))
    head = jwt.utils.base64url_encode(b'{"alg":"HS256","typ":"JWT"}')
    claims = token().split(b".")[1]
    forged = hmac.digest(pem(KEYS[algorithm]), head + b"." + claims, "sha256")
    async with scene(security(path).hooks) as on:
        assert await comes_in(on, token(KEYS[algorithm], algorithm))
        assert not await comes_in(on, token())
        signature = jwt.utils.base64url_encode(forged)
        assert not await comes_in(on, b".".join((head, claims, signature)))


async def test_a_set_of_keys(tmp_path: Path) -> None:
    """A token names its own; one that names none, or another's, is no good."""
    path = tmp_path / "keys.json"
    first, second = KEYS["RS256"], KEYS["ES256"]
    listed = [jwk(first, "one", alg="RS256"), jwk(second, "two"), jwk(first, "x", use="enc")]
    path.write_text(json.dumps({"keys": listed}))
    async with scene(security(path).hooks) as on:
        assert await comes_in(on, token(first, "RS256", "one"))
        assert await comes_in(on, token(second, "ES256", "two"))
        assert not await comes_in(on, token(first, "RS512", "one"))
        assert not await comes_in(on, token(second, "ES256", "one"))
        assert not await comes_in(on, token(first, "RS256"))
        assert not await comes_in(on, token(first, "RS256", "x"))


async def test_beside_passwords(secret: Path, tmp_path: Path) -> None:
    """What looks like a token is one."""
    passwords = tmp_path / "passwords"
    passwords.write_text(line("alice", b"wonderland"))
    async with scene(security(secret, password_file=str(passwords)).hooks) as on:
        assert await comes_in(on, b"wonderland")
        assert await comes_in(on, token())
        assert not await comes_in(on, token(OTHER))


async def test_failures_count(secret: Path) -> None:
    """As with passwords; good ones don't."""
    guarded = security(secret, failed_logins=2)
    async with scene(guarded.hooks) as on:
        for _ in range(5):
            assert await comes_in(on, token())
        for _ in range(2):
            assert not await comes_in(on, token(OTHER))
        assert await on.reason(password=token()) is R.CONNECTION_RATE_EXCEEDED
    assert (2, 1) == (guarded.failed_logins, guarded.refused_logins)


# What it may do


async def test_what_a_token_allows(secret: Path) -> None:
    """That, and no more; with the names in the place of %c and %u."""
    acl = {"pub": ["c/%c", "up"], "sub": ["news/#"], "all": ["u/%u/+"]}
    async with scene(security(secret).hooks) as on:
        client = await on.client("me", password=token(acl=acl))
        for topic, reason in {
            "c/me": R.SUCCESS,
            "up": R.SUCCESS,
            "u/alice/x": R.SUCCESS,
            "c/you": R.NOT_AUTHORIZED,
            "news/a": R.NOT_AUTHORIZED,
            "u/bob/x": R.NOT_AUTHORIZED,
        }.items():
            assert (topic, await publishes(client, topic) is R.NOT_AUTHORIZED) == (
                topic,
                reason is R.NOT_AUTHORIZED,
            )
        await client.subscribe("#", qos=1)
        for topic in ("news/a", "up", "u/alice/y"):
            on.mqtt.publish(topic, topic.encode())
        assert [b"news/a", b"u/alice/y"] == await gets(client)


def test_rights_in_both_directions() -> None:
    """What is for publishing is not for getting."""
    rights = rights_of({"pub": ["a"], "sub": ["b/#"], "all": ["c"]}, "me", "alice")
    assert rights is not None

    assert [True, False, True] == [rights.may_publish(topic) for topic in ("a", "b", "c")]
    assert [False, True, True] == [rights.may_receive(topic) for topic in ("a", "b", "c")]
    assert rights_of(None, "me", "alice") is None


def test_names_with_wildcards_widen_nothing() -> None:
    """Who calls itself # gets nothing by %c."""
    rights = rights_of({"all": ["x/%c", "y"]}, "#", "alice")
    assert rights is not None

    assert [False, True] == [rights.may_receive(topic) for topic in ("x/anything", "y")]


async def test_an_acl_file_holds_too(secret: Path, tmp_path: Path) -> None:
    """What both allow is allowed."""
    acl = tmp_path / "acl"
    acl.write_text("user alice\ntopic write a/#\n")
    async with scene(security(secret, acl_file=str(acl)).hooks) as on:
        client = await on.client("me", password=token(acl={"all": ["a/b", "c"]}))
        found = [await publishes(client, topic) for topic in ("a/b", "a/x", "c")]

        assert [False, True, True] == [reason is R.NOT_AUTHORIZED for reason in found]


# When it has to go


async def gone(client: Wired) -> Any:
    """The reason of a DISCONNECT that comes."""
    return (await client.get(Disconnect)).reason


async def test_the_connection_ends_with_the_token(secret: Path) -> None:
    """0xA0; the session stays."""
    async with scene(security(secret).hooks) as on:
        client = await on.client("me", password=token(exp=time.time() + 1.5), properties=LASTS)

        assert await gone(client) is R.MAXIMUM_CONNECT_TIME
        assert ["me"] == [each.client_id for each in on.mqtt.sessions()]


async def test_who_has_gone_is_not_watched(secret: Path) -> None:
    """Nor kept for as long as its token is good."""
    async with scene(security(secret).hooks) as on:
        client = await on.client("me", password=token())
        caretaker = on.mqtt._service.caretaker
        assert 2 == len(caretaker._watched)
        await client.stream.aclose()
        await trio.testing.wait_all_tasks_blocked()

        assert 0 == len(caretaker._watched)


@pytest.mark.parametrize(
    ("change", "stays"),
    [
        ({}, True),
        ({"jwt_leeway": 5.0}, True),
        ({"jwt_audience": "we"}, False),
        ({"jwt_key_file": None}, False),
    ],
)
async def test_a_reload(change: dict[str, Any], *, stays: bool, secret: Path) -> None:
    """Who would not come in any more as it did has to go."""
    guarded = security(secret)
    async with scene(guarded.hooks) as on:
        client = await on.client("me", password=token())
        must_go = guarded.adopt(
            security(secret, **change) if "jwt_key_file" not in change else Security()
        )
        on.mqtt.disconnect_where(must_go, R.NOT_AUTHORIZED)

        assert stays == bool([each for each in on.mqtt.sessions() if each.connected])
        if not stays:
            assert await gone(client) is R.NOT_AUTHORIZED


async def test_keys_that_change(tmp_path: Path) -> None:
    """A key that is added changes nothing; with one that goes go those who came by it."""
    path = tmp_path / "keys.json"
    first, second = KEYS["RS256"], KEYS["ES256"]
    path.write_text(json.dumps({"keys": [jwk(first, "one")]}))
    guarded = security(path)
    async with scene(guarded.hooks) as on:
        client = await on.client("me", password=token(first, "RS256", "one"))
        for keys, stays in (
            ([jwk(first, "one"), jwk(second, "two")], True),
            ([jwk(second, "two")], False),
        ):
            path.write_text(json.dumps({"keys": keys}))
            on.mqtt.disconnect_where(guarded.adopt(security(path)), R.NOT_AUTHORIZED)
            assert await comes_in(on, token(second, "ES256", "two"))
            assert stays == any(each.client_id == "me" for each in on.mqtt.sessions())
        assert await gone(client) is R.NOT_AUTHORIZED
        assert not await comes_in(on, token(first, "RS256", "one"))


# By itself


async def test_as_a_hook(secret: Path) -> None:
    """The identity tells who it is."""
    seen: list[object] = []

    def authorise(client: ClientInfo) -> None:
        seen.append(client.identity)

    tokens = Tokens(secret)
    async with scene(Hooks(authenticate=tokens, authorise=authorise)) as on:
        assert await on.reason(password=token()) is R.SUCCESS
        change(secret, OTHER)
        tokens.reload()
        assert await on.reason(password=token()) is R.BAD_USER_NAME_OR_PASSWORD
    (user,) = seen
    assert isinstance(user, User)
    assert ("alice", Proof.TOKEN) == (user.name, user.proof)


def test_what_looks_like_a_token() -> None:
    """By its parts."""
    assert looks_like_a_token(token())
    assert not any(map(looks_like_a_token, (None, b"", b"eyJ", b"a.b.c", b"eyJ.a")))


# Files that are wrong


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (b"short", "the secret has 5 bytes; allowed are 32 or more"),
        (
            b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
            "no public key can be read",
        ),
        (
            RSA_KEY.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
            "it is a private key",
        ),
        (
            pem(ec.generate_private_key(ec.BrainpoolP256R1())),
            "allowed are RSA, the curves secp256r1",
        ),
        (b"{", "no set of keys"),
        (b'{"keys": 3}', "no set of keys"),
        (b'{"keys": []}', "the set has no key to verify with"),
        (b'{"keys": [{"kty": "oct", "k": "AAAA"}]}', "the secret has 3 bytes"),
        (b'{"keys": [{"kty": "RSA"}]}', "a key of the set is none"),
        (
            json.dumps({"keys": [jwk(RSA_KEY, "a", alg="ES256")]}).encode(),
            "a key of the set is none: Not an Elliptic curve key",
        ),
    ],
)
def test_files_that_are_wrong(text: bytes, error: str, tmp_path: Path) -> None:
    """What was seen and what is allowed, and in which file."""
    path = tmp_path / "key"
    path.write_bytes(text)
    with pytest.raises(ConfigError, match=f"{path}: .*{error}"):
        read_keys(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """As with any."""
    with pytest.raises(ConfigError, match=r"cannot read .*nothing: No such file"):
        Tokens(tmp_path / "nothing")


def test_without_pyjwt(secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to install."""
    monkeypatch.setitem(sys.modules, "jwt", None)
    with pytest.raises(ConfigError, match=r"tokens need jwt: pip install 'speedo_trio\[jwt\]'"):
        Tokens(secret)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("jwt_key_file", 3, "a path, or none"),
        ("jwt_audience", "", "a text, or none"),
        ("jwt_issuer", 3, "a text, or none"),
        ("jwt_user_claim", "", "the name of a claim"),
        ("jwt_leeway", -1, "a number of seconds from 0 to 86400"),
        ("jwt_leeway", True, "a number of seconds from 0 to 86400"),
    ],
)
def test_settings_that_are_wrong(name: str, value: object, allowed: str) -> None:
    """What was seen and what is allowed."""
    with pytest.raises(ConfigError, match=f"{name} is {value!r}; allowed is {allowed}"):
        SecuritySettings(**{name: value})  # type: ignore[arg-type]  # so it is
