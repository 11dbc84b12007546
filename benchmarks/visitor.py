"""The visitor: a client that comes anew for each line.

`python -m benchmarks.visitor PORT SECONDS [tls]`
"""

from __future__ import annotations

import json
import socket
import ssl
import sys
import time

from attrs import asdict, frozen

from benchmarks.servers import HOST

PACE_SECONDS = 0.05
PATIENCE_SECONDS = 5


@frozen(kw_only=True)
class Visits:
    """How it was received: milliseconds from connecting to the reply, refusals and failures."""

    served: int
    refused: int
    """Closed by the server without a reply, or reset."""
    late: int
    """Without a reply for `PATIENCE_SECONDS`."""
    p50_ms: float
    p99_ms: float
    max_ms: float


def visit(port: int, seconds: float, *, tls: bool = False) -> Visits:
    """Come every `PACE_SECONDS`, or as soon as the last visit is over, for so long."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    taken, refused, late = [], 0, 0
    start = time.perf_counter()
    while (began := time.perf_counter()) < start + seconds:
        try:
            _visit_once(port, context if tls else None)
            taken.append((time.perf_counter() - began) * 1000)
        except TimeoutError:
            late += 1
        except OSError:
            refused += 1
        time.sleep(max(0.0, began + PACE_SECONDS - time.perf_counter()))
    taken.sort()
    served = len(taken)
    return Visits(
        served=served,
        refused=refused,
        late=late,
        p50_ms=taken[served // 2] if taken else 0.0,
        p99_ms=taken[served * 99 // 100] if taken else 0.0,
        max_ms=taken[-1] if taken else 0.0,
    )


def _visit_once(port: int, context: ssl.SSLContext | None) -> None:
    with socket.create_connection((HOST, port), timeout=PATIENCE_SECONDS) as plain:
        client = plain if context is None else context.wrap_socket(plain)
        with client:
            client.sendall(b"hello\n")
            reply = client.recv(100)
            if reply != b"hello\n":
                raise ConnectionError(f"answered with {reply!r}")


if __name__ == "__main__":
    print(json.dumps(asdict(visit(int(sys.argv[1]), float(sys.argv[2]), tls="tls" in sys.argv))))
