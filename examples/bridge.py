"""An application that brings its own data into topics, and is told through topics what to do.

Shows a broker inside a program: `Broker.publish` sends what the application knows to whoever is
subscribed, over SimplePub or in the same program; `Broker.subscribe` gives what others publish;
`Broker.subscribers` tells whether anybody listens, so that what nobody wants isn't worked out.

Run it with ``python bridge.py``, and in other terminals

    trio-speedo sub --topics 'machine/#'
    trio-speedo pub machine/period/set 0.2

End it with Ctrl-C.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys

import trio

from speedo_trio import Broker, Server, TopicMessage, serve
from speedo_trio.simplepub import SimplePub

SHORTEST, LONGEST = 0.05, 3600.0


class Machine:
    """What the application knows, and how often it looks."""

    def __init__(self, broker: Broker, period: float = 1.0) -> None:
        self.broker = broker
        self.period = period

    async def report(self) -> None:
        """Publish readings until cancelled."""
        while True:
            self.broker.publish("machine/load", b"%.2f" % os.getloadavg()[0], retain=True)
            if self.broker.subscribers("machine/disk"):  # it takes a system call that may block
                usage = await trio.to_thread.run_sync(shutil.disk_usage, "/")
                self.broker.publish("machine/disk", b"%.1f %%" % (100 * usage.used / usage.total))
            await trio.sleep(self.period)

    async def obey(self) -> None:
        """Do what is asked for under topics, until cancelled."""
        async with self.broker.subscribe("machine/+/set", name="machine") as orders:
            async for order in orders:
                self.broker.publish("machine/answer", self.answer(order).encode())

    def answer(self, order: TopicMessage) -> str:
        """Do what one message asks for; what became of it."""
        if order.topic != "machine/period/set":
            return f"{order.topic}: there is only machine/period/set"
        try:
            period = float(order.payload)
        except ValueError:
            period = 0.0
        if not SHORTEST <= period <= LONGEST:
            return f"{order.payload!r}: allowed are {SHORTEST} to {LONGEST} seconds"
        self.period = period
        return f"a reading every {period:g} seconds"


async def main(*binds: str) -> None:
    """The application: from the start of its tasks to their end."""
    broker = Broker()
    machine = Machine(broker)
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(machine.report)
            nursery.start_soon(machine.obey)
            server: Server = await nursery.start(serve, SimplePub(broker), *binds)
            print("publishing on", *server.addresses, flush=True)
            await anext(signals)
            print(await server.drain())
            nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, *(sys.argv[1:] or ["tcp://localhost:9292"]))
