"""Logins with a wrong password, many a second: ``python logins.py PORT RATE SECONDS``.

Writes at the end how many were refused.
"""

from __future__ import annotations

import socket
import sys
import time

CONNECT = b"\x10\x1b\x00\x04MQTT\x04\xc2\x00\x00\x00\x01f\x00\x05alice\x00\x05wrong"
"""MQTT 3.1.1, client "f", user "alice"."""


def log_in(port: int) -> bool:
    """Try once; whether that was refused."""
    with socket.create_connection(("127.0.0.1", port)) as peer:
        peer.sendall(CONNECT)
        answer = peer.recv(4)
        return len(answer) == 4 and answer[3] != 0


def main(port: int, rate: float, seconds: float) -> None:
    """Keep the rate as well as it can be kept."""
    began = time.monotonic()
    refused = 0
    for number in range(int(rate * seconds)):
        ahead = began + number / rate - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)
        elif ahead < -seconds:
            break
        refused += log_in(port)
    sys.stdout.write(f"{refused}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]))
