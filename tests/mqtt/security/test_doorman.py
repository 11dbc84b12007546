"""The doorman: a certificate names its user, before any password."""

from __future__ import annotations

from typing import Any

import pytest

from speedo_trio.events import Address, TLSInfo
from speedo_trio.mqtt.requests import ClientInfo, ConnectRequest
from speedo_trio.mqtt.security.doorman import Doorman
from speedo_trio.mqtt.security.user import Proof, User, name_of
from speedo_trio.mqtt.verdicts import Accepted, Refused
from speedo_trio.mqtt.wire.reason_codes import ReasonCode
from speedo_trio.mqtt.wire.versions import Version

ALICE = {"subject": ((("commonName", "alice"),),)}
NAMELESS = {"subject": ((("organizationName", "x"),),)}


def request(certificate: Any, *, tls: bool = True, user_name: str | None = None) -> ConnectRequest:
    """What a client asks that comes from elsewhere."""
    client = ClientInfo(
        client_id="c",
        user_name=user_name,
        version=Version.MQTT_5_0,
        connection=1,
        peer=Address("tcp", "192.0.2.1", 50_000),
        local=Address("tcp", "192.0.2.2", 8883),
        tls=TLSInfo(version="TLSv1.3", cipher="x", certificate=certificate) if tls else None,
        websocket=None,
        proxy=None,
    )
    return ConnectRequest(
        client=client,
        password=None,
        clean_start=True,
        keep_alive=0,
        will_topic=None,
        user_properties=(),
    )


async def test_a_certificate() -> None:
    """It names its user, whatever name the client gives; rights go by that name."""
    answer = await Doorman(certificate_user="cn")(request(ALICE, user_name="root"))

    assert answer == Accepted(identity=User("alice", Proof.CERTIFICATE))


@pytest.mark.parametrize(
    ("certificate", "tls", "reason"),
    [
        (NAMELESS, True, ReasonCode.BAD_USER_NAME_OR_PASSWORD),
        (None, True, ReasonCode.NOT_AUTHORIZED),
        (None, False, ReasonCode.NOT_AUTHORIZED),
    ],
)
async def test_without_one(certificate: Any, reason: ReasonCode, *, tls: bool) -> None:
    """One without a name lets nobody in; without one it is as for all others."""
    answer = await Doorman(certificate_user="cn")(request(certificate, tls=tls))

    assert isinstance(answer, Refused)
    assert answer.reason is reason


async def test_certificates_that_name_nobody() -> None:
    """Unless that is asked for."""
    assert isinstance(await Doorman()(request(ALICE)), Refused)


def test_names() -> None:
    """The name that was found out counts, and else the one that was given."""
    asked = request(None, user_name="bob").client

    assert name_of(asked) == "bob"
