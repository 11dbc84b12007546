"""Trust: which flags go together, and the TLS that they make."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from attrs import frozen

from speedo_trio.cli.mistakes import Mistake
from speedo_trio.cli.trust import check_trust, client_context
from speedo_trio.errors import ConfigError


@frozen(kw_only=True)
class Flags:
    """As plans have them."""

    ca: Path | None = None
    insecure: bool = False
    cert: Path | None = None
    key: Path | None = None


HERE = Path("here.pem")

WRONG = {
    "--ca is for tls://, and it is tcp": (Flags(ca=HERE), False),
    "--insecure is for tls://, and it is tcp": (Flags(insecure=True), False),
    "--cert is for tls://, and it is tcp": (Flags(cert=HERE, key=HERE), False),
    "--key is for tls://, and it is tcp": (Flags(key=HERE), False),
    "--ca and --insecure contradict one another": (Flags(ca=HERE, insecure=True), True),
    "--key is for --cert, which is not given": (Flags(key=HERE), True),
}


@pytest.mark.parametrize("text", WRONG)
def test_flags_that_do_not_go_together(text: str) -> None:
    """The first that is wrong is told."""
    flags, secure = WRONG[text]
    with pytest.raises(ConfigError, match=f"^{text}"):
        check_trust(flags, secure=secure, schemes="tls://", seen="it is tcp")


def test_flags_that_go_together() -> None:
    """None without TLS, and all that make sense with it."""
    check_trust(Flags(), secure=False, schemes="", seen="")
    for flags in (Flags(), Flags(ca=HERE, cert=HERE, key=HERE), Flags(insecure=True, cert=HERE)):
        check_trust(flags, secure=True, schemes="", seen="")


def test_whom_it_trusts(tmp_path: Path) -> None:
    """The system's authorities, one, or anybody."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    system, one = client_context(Flags()), client_context(Flags(ca=tmp_path / "ca.pem"))
    anybody = client_context(Flags(insecure=True))

    for context in (system, one):
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
    assert len(one.get_ca_certs()) == 1
    assert anybody.verify_mode is ssl.CERT_NONE
    assert not anybody.check_hostname


def test_who_it_is(tmp_path: Path) -> None:
    """A certificate with its key, in one file or two."""
    pair = trustme.CA().issue_cert("me")
    pair.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    pair.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    pair.private_key_pem.write_to_path(tmp_path / "key.pem")

    client_context(Flags(cert=tmp_path / "both.pem"))
    client_context(Flags(cert=tmp_path / "cert.pem", key=tmp_path / "key.pem"))
    with pytest.raises(Mistake, match=r"cert.pem: .*; allowed is a file with a certificate as PEM"):
        client_context(Flags(cert=tmp_path / "cert.pem"))


def ca(file: Path) -> Flags:
    """A file for --ca."""
    return Flags(ca=file)


def cert(file: Path) -> Flags:
    """A file for --cert."""
    return Flags(cert=file)


@pytest.mark.parametrize("flag", [ca, cert])
def test_files_that_are_none(flag: Callable[[Path], Flags], tmp_path: Path) -> None:
    """The flag, the file, and what was wrong with it."""
    missing, garbage = tmp_path / "missing.pem", tmp_path / "garbage.pem"
    garbage.write_text("garbage")
    name = f"--{flag.__name__}"

    with pytest.raises(Mistake, match=f"^{name} {missing}: No such file or directory; allowed"):
        client_context(flag(missing))
    with pytest.raises(Mistake, match=f"^{name} {garbage}: .*; allowed is a file with a cert"):
        client_context(flag(garbage))
