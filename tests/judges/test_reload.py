"""New certificates for a server that runs, as its clients see it."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest

from tests.judges.authority import Authority
from tests.judges.command import TELL, Command
from tests.judges.conftest import Connect, Ends
from tests.outside import need

need("openssl")


def replace(file: Path, by: str) -> None:
    """As whoever renews certificates should do it: at no moment the file is half there."""
    shutil.copy(by, new := file.with_suffix(".new"))
    new.replace(file)


@pytest.fixture
def cert(tmp_path: Path, authority: Authority) -> Path:
    """The server's certificate."""
    replace(tmp_path / "live.pem", authority.server("first"))
    return tmp_path / "live.pem"


@pytest.fixture
def server(ends: Ends, cert: Path) -> Command:
    """A server that tells who its clients are."""
    return ends(Command(TELL, f"tls://localhost:0?cert={cert}"))


def reload(server: Command, times: int = 1) -> str:
    """Send SIGHUP; what is logged for it, if it is the server's reload of this number."""
    server.send(signal.SIGHUP)
    return server.wait_for(r"\S+ speedo_trio: (not reloaded|reconfigured): .*\n", times)[0].strip()


def test_the_next_client_gets_the_new_certificate(
    server: Command, cert: Path, authority: Authority, connect: Connect
) -> None:
    """After SIGHUP, while the connection of before goes on as it began."""
    old = connect(server, "-brief")
    assert old.met == "first"
    replace(cert, authority.server("second"))
    before = connect(server, "-brief")
    assert before.met == "first"

    assert reload(server) == "INFO speedo_trio: reconfigured: certificates"
    assert connect(server, "-brief").met == "second"
    assert old.asks()["tls"]["version"] == "TLSv1.3"
    assert before.asks()["tls"]["version"] == "TLSv1.3"


def halves(file: str) -> tuple[str, str]:
    """The key and the certificates of a file."""
    key, mark, certs = Path(file).read_text().partition("-----BEGIN CERTIFICATE-----")
    return key, mark + certs


def test_a_broken_file_changes_nothing(
    server: Command, cert: Path, authority: Authority, connect: Connect
) -> None:
    """It is told what is wrong; the old certificate stays, until a reload finds a good one."""
    old = connect(server, "-brief")
    old.asks()
    key, certs = halves(authority.server("second"))
    wrong_key, _ = halves(authority.server("third"))
    wrongs = {
        "": "there is no certificate in it; allowed is PEM",
        "junk": "there is no certificate in it; allowed is PEM",
        certs: "there is no private key in it; allowed is PEM",
        certs + wrong_key: f"this is not the private key of {cert}",
        key + certs[:300]: "damaged; allowed is PEM",
    }
    for times, (wrong, why) in enumerate(wrongs.items(), 1):
        cert.write_text(wrong)
        line = reload(server, times)
        assert line.startswith(f"ERROR speedo_trio: not reloaded: tls://localhost:0?cert={cert}:")
        assert line.endswith(f"{cert}: {why}")
        assert connect(server, "-brief").met == "first"
    cert.write_text(key + certs)

    assert reload(server, len(wrongs) + 1) == "INFO speedo_trio: reconfigured: certificates"
    assert connect(server, "-brief").met == "second"
    old.asks()


def test_a_changed_authority_counts_at_once(
    ends: Ends,
    cert: Path,
    authority: Authority,
    stranger: Authority,
    connect: Connect,
    tmp_path: Path,
) -> None:
    """Who was let in by the old one isn't any more, not even with a session of before."""
    ca, session = tmp_path / "ca.pem", tmp_path / "session"
    replace(ca, authority.file)
    server = ends(Command(TELL, f"tls://localhost:0?cert={cert}&ca={ca}"))
    ours, theirs = ("-cert", authority.client("Ada")), ("-cert", stranger.client("Bob"))
    first = connect(server, "-brief", *ours, "-sess_out", str(session))
    first.asks()
    connect(server, "-brief", *theirs).refused_with("unknown_ca")
    replace(ca, stranger.file)
    reload(server)

    connect(server, "-brief", *theirs).asks()
    connect(server, "-brief", *ours).refused_with("unknown_ca")
    connect(server, "-brief", *ours, "-sess_in", str(session)).refused_with("unknown_ca")
    connect(server, "-brief", "-sess_in", str(session)).refused_with("certificate_required")
    first.asks()


def test_all_processes_get_it(
    ends: Ends, cert: Path, authority: Authority, connect: Connect
) -> None:
    """With several processes, whichever a client comes to has the new certificate."""
    server = ends(Command("echo", f"tls://localhost:0?cert={cert}", "--processes", "2"))
    assert {connect(server, "-brief").met for _ in range(6)} == {"first"}
    replace(cert, authority.server("second"))
    server.send(signal.SIGHUP)
    server.wait_for("reconfigured: certificates\n")

    assert {connect(server, "-brief").met for _ in range(6)} == {"second"}
