"""Hashes: each kind checks its password, and is written as it is read."""

from __future__ import annotations

import pytest

from speedo_trio import ConfigError
from speedo_trio.mqtt.security.hashes import PBKDF2, SHA512, Scrypt, parse_hash

ALICE = (
    "$7$101$bbT4EiyfWF+vfP/y$c7vM+7WjdZ6z/vLKLOhs6L59OlKjTrcAYEDHQoEQFKDZPaW/2ZHoNHpW8GmiLGeii2z"
    "ibx7DWUAUsK2abRx6bA=="
)
BOB = (
    "$6$o2fIRIsxCLhPjwC/$+W16bn+8a+uuTDh/bBjVJVMhFC4dMjs5kpBFO/F1ofzcEJTBe6k+bLYw6kpLwTHQkk84SRA"
    "q4+pVxubk4JZjog=="
)
RFC_7914 = (
    "$scrypt$ln=14,r=8,p=1$U29kaXVtQ2hsb3JpZGU$cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofLVQylVYT"
    "8Pz2LUlwUkKpr55h6F3A1lHkDfzwF7RVdYhw"
)


@pytest.mark.parametrize(
    ("line", "kind", "password"),
    [
        (ALICE, PBKDF2, b"wonderland"),
        (BOB, SHA512, b"builder"),
        (RFC_7914, Scrypt, b"pleaseletmein"),  # section 12, the third vector
    ],
)
def test_a_line_of_others(line: str, kind: type, password: bytes) -> None:
    """Lines of mosquitto_passwd, and a vector of the RFC, know their passwords and no other."""
    found = parse_hash(line)

    assert isinstance(found, kind)
    assert found.check(password)
    assert not found.check(password + b"x")
    assert str(found) == line


def test_our_own() -> None:
    """What is made can be written, read and checked; the salt is another each time."""
    first, second = Scrypt.make(b"secret", 4), Scrypt.make(b"secret", 4)

    assert parse_hash(str(first)) == first
    assert first.check(b"secret")
    assert not first.check(b"")
    assert str(first) != str(second)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("secret", "not hashed; allowed are"),
        ("$argon2id$v=19$m=1$c2FsdA$aGFzaA", "is $argon2id$…; allowed are"),
        ("$7$0$c2FsdA==$aGFzaA==", "PBKDF2 with 0 rounds; allowed are 1 to 10000000"),
        ("$7$99999999$c2FsdA==$aGFzaA==", "99999999 rounds"),
        ("$6$c2Fs!A==$aGFzaA==", "is not Base64"),
        ("$6$c2FsdA==$aGFzaA==$", "allowed are"),
        ("$scrypt$ln=21,r=8,p=1$c2FsdA$aGFzaA", "ln=21, r=8, p=1; allowed are 4 to 20"),
        ("$scrypt$ln=14,r=33,p=1$c2FsdA$aGFzaA", "r=33"),
        ("$scrypt$ln=14,r=8,p=0$c2FsdA$aGFzaA", "p=0"),
        ("$scrypt$ln=14,r=8,p=1$c2FsdA$a", "is not Base64"),
    ],
)
def test_a_line_that_is_none(line: str, told: str) -> None:
    """The error tells what was seen, but no password, and what is allowed."""
    with pytest.raises(ConfigError) as refused:
        parse_hash(line)

    assert told in str(refused.value)
    assert "secret" not in str(refused.value)
