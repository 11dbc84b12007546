"""Normal clients of a server that is attacked: `python -m benchmarks.attack`.

A quiet client sends a line every 10 ms on one connection, a visitor comes 20 times a second with a
new one. How long do they wait, before and during the attack, and what does it take from the server?
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import define, frozen

from benchmarks.attacked import Inside
from benchmarks.attacks import Attack, attacks
from benchmarks.contenders import Contender
from benchmarks.machine import this_machine
from benchmarks.quiet import RoundTrips, quiet_client
from benchmarks.servers import HOST, ROOT, Server, ServerError, ending_on_signals, running
from benchmarks.table import table
from benchmarks.visitor import Visits

if TYPE_CHECKING:
    from collections.abc import Iterator

REST_SECONDS = 1.0
"""After the attack, until the server is looked at; and for how long its CPU time is looked at."""

END_SECONDS = 30
"""How long to wait for the server to end the attackers' connections."""

CLIENTS = (
    "attack",
    "alone p50",
    "p99",
    "attacked p50",
    "p99",
    "max",
    "visits",
    "refused",
    "late",
    "p50",
    "p99",
    "max",
)
SERVER = (
    "attack",
    "connected",
    "accepted",
    "refused",
    "log lines",
    "CPU",
    "after",
    "MiB",
    "after",
    "KiB each",
    "files left",
    "closed",
)


@frozen(kw_only=True)
class Outcome:
    """What an attack did."""

    attack: Attack
    alone: RoundTrips
    attacked: RoundTrips
    visits: Visits
    counts: dict[str, int]
    before: Inside
    after: Inside
    busy: float
    rest_busy: float
    grown: int
    grown_after: int
    each: float
    files: int


@define
class Control:
    """A connection on which the server is asked how it goes."""

    stream: socket.socket

    def inside(self) -> Inside:
        """How it goes."""
        self.stream.sendall(b"stats\n")
        reply = b""
        while not reply.endswith(b"\n"):
            data = self.stream.recv(65536)
            if not data:
                raise ServerError("the server ended the control connection")
            reply += data
        return Inside(**json.loads(reply))


def main() -> int:
    """Measure each attack and print the tables; 1 when any measurement failed."""
    options = _options()
    chosen = [each for each in attacks(options.held) if each.name in (options.only or [each.name])]
    outcomes: list[Outcome] = []
    failed = False
    with ending_on_signals(), tempfile.TemporaryDirectory() as folder:
        print(f"{this_machine([_contender((), [])])}\n", flush=True)
        cert = Path(folder) / "cert.pem"
        _certify(cert)
        for attack in chosen:
            try:
                outcomes.append(_measured(attack, cert, options.seconds))
                print(outcomes[-1], file=sys.stderr)
            except (ServerError, OSError) as error:
                failed = True
                print(f"FAILED, not counted: {attack.name}: {error}", file=sys.stderr)
    print(table(CLIENTS, [_client_row(each) for each in outcomes]))
    print(table(SERVER, [_server_row(each) for each in outcomes]))
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attack", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=[each.name for each in attacks(1)])
    parser.add_argument("--held", type=int, default=1000, help="connections of the slow attacks")
    parser.add_argument("--seconds", type=float, default=5, help="per measurement, two an attack")
    return parser.parse_args()


def _certify(file: Path) -> None:
    import trustme

    cert = trustme.CA(key_type=trustme.KeyType.RSA).issue_cert(
        "localhost", key_type=trustme.KeyType.RSA
    )
    cert.private_key_and_cert_chain_pem.write_to_path(str(file))


def _contender(settings: tuple[str, ...], binds: list[str]) -> Contender:
    arguments = ("benchmarks.attacked", "{port}", *settings, *binds)
    return Contender(name="attacked", title="attacked", package="speedo_trio", arguments=arguments)


def _measured(attack: Attack, cert: Path, seconds: float) -> Outcome:
    binds = [_bind(attack.scheme, cert)] if attack.scheme else []
    with (
        running(_contender(attack.settings, binds)) as server,
        socket.create_connection((HOST, server.port)) as stream,
    ):
        return _attacked(attack, server, Control(stream), seconds)


def _bind(scheme: str, cert: Path) -> str:
    query = f"?cert={cert}" if "tls" in scheme else ""
    return f"{scheme}://127.0.0.1:0{query}"


def _attacked(attack: Attack, server: Server, control: Control, seconds: float) -> Outcome:
    alone = quiet_client(server.port, seconds)
    before, memory, files = control.inside(), server.resident_bytes(), _files(server)
    port = before.ports[-1]
    tls = attack.scheme == "tls"
    visited = port if tls else server.port
    with _attacking(attack, port) as processes:
        used, began = server.cpu_seconds(), time.perf_counter()
        with _visiting(visited, seconds, tls=tls) as visitor:
            attacked = quiet_client(server.port, seconds)
            visits = Visits(**json.loads(visitor.communicate()[0]))
        busy = (server.cpu_seconds() - used) / (time.perf_counter() - began)
        grown = server.resident_bytes() - memory
        if attack.ends:
            _wait_for_ends(control)
        counts = _ended(processes)
    time.sleep(REST_SECONDS)
    after = control.inside()
    used = server.cpu_seconds()
    time.sleep(REST_SECONDS)
    server.check()
    return Outcome(
        attack=attack,
        alone=alone,
        attacked=attacked,
        visits=visits,
        counts=counts,
        before=before,
        after=after,
        busy=busy,
        rest_busy=(server.cpu_seconds() - used) / REST_SECONDS,
        grown=grown,
        grown_after=server.resident_bytes() - memory,
        each=grown / attack.held if attack.held else 0,
        files=_files(server) - files,
    )


def _files(server: Server) -> int:
    return sum(1 for _ in Path(f"/proc/{server.process.pid}/fd").iterdir())


@contextlib.contextmanager
def _attacking(attack: Attack, port: int) -> Iterator[list[subprocess.Popen[str]]]:
    processes = [
        _python("attackers", each.name, str(port), each.source, str(each.number))
        for each in attack.attackers
        for _ in range(each.processes)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                raise ServerError("an attacker did not begin")
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


@contextlib.contextmanager
def _visiting(port: int, seconds: float, *, tls: bool) -> Iterator[subprocess.Popen[str]]:
    with _python("visitor", str(port), str(seconds), *(["tls"] if tls else [])) as process:
        try:
            yield process
        finally:
            process.kill()


def _python(module: str, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", f"benchmarks.{module}", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def _ended(processes: list[subprocess.Popen[str]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for process in processes:
        process.send_signal(signal.SIGTERM)
        for name, count in json.loads(process.communicate()[0]).items():
            counts[name] = counts.get(name, 0) + count
    return counts


def _wait_for_ends(control: Control) -> None:
    deadline = time.monotonic() + END_SECONDS
    while control.inside().connections > 1:
        if time.monotonic() > deadline:
            raise ServerError(f"{control.inside().connections - 1} connections were not ended")
        time.sleep(0.1)


def _client_row(outcome: Outcome) -> list[str]:
    alone, attacked, visits = outcome.alone, outcome.attacked, outcome.visits
    return [
        outcome.attack.title,
        *(f"{each / 1000:.1f}" for each in (alone.p50_us, alone.p99_us)),
        *(f"{each / 1000:.1f}" for each in (attacked.p50_us, attacked.p99_us, attacked.max_us)),
        *map(str, (visits.served, visits.refused, visits.late)),
        *(f"{each:.1f}" for each in (visits.p50_ms, visits.p99_ms, visits.max_ms)),
    ]


def _server_row(outcome: Outcome) -> list[str]:
    before, after = outcome.before, outcome.after
    closed = {name: count - before.closed.get(name, 0) for name, count in after.closed.items()}
    return [
        outcome.attack.title,
        f"{outcome.counts.get('connected', 0):,}",
        f"{after.accepted - before.accepted:,}",
        f"{after.refused - before.refused:,}",
        str(after.lines - before.lines),
        f"{outcome.busy:.0%}",
        f"{outcome.rest_busy:.0%}",
        f"{outcome.grown / 2**20:.1f}",
        f"{outcome.grown_after / 2**20:.1f}",
        f"{outcome.each / 1024:.1f}" if outcome.each else "–",
        str(outcome.files),
        ", ".join(f"{count:,} {name}" for name, count in closed.items()),
    ]


if __name__ == "__main__":
    sys.exit(main())
