"""Fuzz the broker: `python -m tests.mqtt.fuzz`.

Clients send sessions of all versions that are mostly spoiled, to the real handlers and broker,
without a network. Nothing may come of it but what the protocol says.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import traceback

from tests.mqtt.fuzz.rounds import Failed, Round
from tests.mqtt.fuzz.run import run, run_processes


def main() -> int:
    """Run and print; 1 when something has failed."""
    options = _options()
    print(f"seed {options.seed}", flush=True)
    if options.round is not None:
        return _again(options.seed, options.round)
    if options.processes == 1:
        tally = run(options.seed, options.seconds)
    else:
        tally = run_processes(options.seed, options.seconds, options.processes)
    print(tally)
    if tally.failure:
        print(tally.failure, file=sys.stderr)
    return bool(tally.failure)


def _again(seed: int, number: int) -> int:
    try:
        Round(seed, number).run()
    except Failed as failed:
        raise SystemExit("".join(traceback.format_exception(failed))) from None
    print(f"round {number} has no fault")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mqtt.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300, help="how long; default: 300")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000_000))
    parser.add_argument("--round", type=int, help="only this one, to see a failure again")
    parser.add_argument("--processes", type=int, default=1, help="each takes a core; default: 1")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
