"""``openssl s_client`` as a TLS client, and what it says of a handshake."""

from __future__ import annotations

import json
from typing import Any

from tests.judges.program import Program

ALERTS = {
    "handshake_failure": 40,
    "certificate_expired": 45,
    "unknown_ca": 48,
    "protocol_version": 70,
    "certificate_required": 116,
}
"""Their numbers (RFC 8446, 6)."""

ESTABLISHED = r"CONNECTION ESTABLISHED\n"


class Client(Program):
    """A client of a server at localhost."""

    def __init__(self, port: int, *options: str, **more: Any) -> None:  # Any: what Popen takes
        super().__init__("openssl", "s_client", "-connect", f"localhost:{port}", *options, **more)

    def echoes(self, line: str = "hello") -> None:
        """Send a line, which must come back."""
        before = self.text.count(f"{line}\n")
        self.tell(f"{line}\n")
        self.wait_for(f"{line}\n", before + 1)

    def asks(self) -> dict[str, Any]:
        """What a server of tests.judges.tell knows of the client."""
        self.tell("who am I?\n")
        known: dict[str, Any] = json.loads(self.wait_for(r'\{"tls".*\}\n')[0])
        return known

    @property
    def met(self) -> str:
        """The name in the server's certificate; with -brief."""
        return self.wait_for(r"Peer certificate: .*CN = (\S+)\n")[1]

    def refused_with(self, alert: str) -> None:
        """See that the server ends it with this alert, and says so before anything else."""
        self.wait_for(rf"SSL alert number {ALERTS[alert]}\n")
        assert self.end() != 0
