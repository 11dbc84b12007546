"""Certificates as user names."""

from __future__ import annotations

from typing import Any

import pytest

from speedo_trio.mqtt.security.certificate import CertificateUser, user_of


def certificate(*pairs: tuple[str, str]) -> dict[str, Any]:
    """A certificate with a subject."""
    return {"subject": tuple((pair,) for pair in pairs)}


ALICE = certificate(
    ("countryName", "CH"), ("organizationName", "Smith, Sons"), ("commonName", "alice")
)


@pytest.mark.parametrize(
    ("kind", "given", "name"),
    [
        ("cn", ALICE, "alice"),
        ("subject", ALICE, "CN=alice,O=Smith\\, Sons,C=CH"),
        ("subject", certificate(("commonName", " #a ")), "CN=\\ #a\\ "),
        ("subject", {"subject": ((("commonName", "a"), ("userId", "b")),)}, "CN=a+UID=b"),
        ("cn", certificate(("organizationName", "x")), None),
        ("cn", certificate(("commonName", "")), None),
        ("cn", certificate(("commonName", "alice\0.example")), None),
        ("cn", {}, None),
        ("subject", {}, None),
    ],
)
def test_names(kind: CertificateUser, given: dict[str, Any], name: str | None) -> None:
    """The common name, or the subject as RFC 2253 writes it; None where there is none."""
    assert user_of(given, kind) == name
