"""A chat room over SimplePub: a program for each guest, and a server that knows nothing of chat.

Shows the client: what the guest types is published under the guest's own topic, and a subscription
with a wildcard brings what all say. Who is there is retained, so a newcomer hears of those who
came before. Each topic is one guest's, and so nobody's words can be mistaken for another's order.

Run the server, and in two more terminals a guest each:

    trio-speedo serve simplepub
    python chatroom.py Ann
    python chatroom.py Ben

Type something; Ctrl-D leaves. ``trio-speedo sub 'chat/#'`` listens too.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterable
from functools import partial

import trio

from speedo_trio import ConnectionClosed, TopicMessage
from speedo_trio.simplepub import Client, connect

SAID, HERE = "chat/said", "chat/here"


def told(message: TopicMessage) -> str:
    """A message of the room as a line."""
    kind, _, guest = message.topic.rpartition("/")
    if kind == HERE:
        return f"* {guest} {'is here' if message.payload else 'has left'}"
    return f"{guest}: {message.payload.decode(errors='replace')}"


async def listen(client: Client, guest: str) -> None:
    """Print what is said, until the guest has left."""
    async for message in client:
        print(told(message), flush=True)
        if message.topic == f"{HERE}/{guest}" and not message.payload:
            break


async def visit(client: Client, guest: str, lines: AsyncIterable[str]) -> None:
    """Be in the room, and say the lines."""
    await client.subscribe(f"{SAID}/+", f"{HERE}/+")
    await client.publish(f"{HERE}/{guest}", b"yes", retain=True)
    async for line in lines:
        await client.publish(f"{SAID}/{guest}", line.rstrip("\n").encode())
    await client.publish(f"{HERE}/{guest}", b"", retain=True)  # nothing is retained any more


async def main(guest: str, url: str = "simplepub://localhost:9292") -> None:
    """The program of one guest."""
    async with connect(url) as client, trio.open_nursery() as nursery:
        nursery.start_soon(listen, client, guest)
        await visit(client, guest, trio.wrap_file(sys.stdin))


if __name__ == "__main__":
    try:
        trio.run(partial(main, *sys.argv[1:3]))
    except* (ConnectionClosed, OSError) as failures:
        sys.exit(f"chatroom: {failures.exceptions[0]}")
