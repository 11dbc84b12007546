"""The attacks, as a table: what the server has set, and who does what to it."""

from __future__ import annotations

from attrs import frozen

HOME, AWAY = "127.0.0.1", "127.0.0.9"
"""The address of the normal clients, and of the attackers."""

ONE_ADDRESS = (
    "limits.connections_per_address=100",
    "limits.rate_per_address=50",
)
"""What holds up a flood from one address; the visitor comes 20 times a second."""

TIMES = ("timeouts.handshake=10", "timeouts.first_message=10", "timeouts.idle=12")
"""How long who says nothing, or not enough, may stay; other times are the defaults."""


@frozen(kw_only=True)
class Attacker:
    """A process that attacks; `benchmarks.attackers` has them by name."""

    name: str
    number: int = 1
    """What it means is the attacker's."""
    source: str = AWAY
    processes: int = 1


@frozen(kw_only=True)
class Attack:
    """One attack."""

    name: str
    title: str
    attackers: tuple[Attacker, ...]
    settings: tuple[str, ...] = ()
    scheme: str | None = None
    """How the bind begins that is attacked; None: the plain one. With TLS the visitor shakes hands
    too."""
    held: int = 0
    """How many connections are held, to divide the memory by."""
    ends: bool = False
    """Whether the settings end the attackers' connections, to be waited for."""


def _slow(name: str, title: str, held: int, scheme: str | None = None) -> Attack:
    attackers = (Attacker(name=name, number=held),)
    return Attack(
        name=name,
        title=title,
        attackers=attackers,
        settings=TIMES,
        scheme=scheme,
        held=held,
        ends=True,
    )


def attacks(held: int) -> tuple[Attack, ...]:
    """All of them, the slow ones with so many connections."""
    return (
        _slow("lines", "a byte of a line each 5 s", held),
        _slow("one_line_each", "one line, then silence", held),
        _slow("headers", "a byte of a PROXY header each 5 s", held, "tcp+proxy"),
        _slow("hellos_without_end", "a byte of a TLS hello each 5 s", held, "tls"),
        _slow("fat_hellos", "128 KiB of a TLS hello, then silence", held, "tls"),
        Attack(
            name="churn",
            title="connect and close, no limits set",
            attackers=(Attacker(name="churn", processes=2),),
        ),
        Attack(
            name="churn_limited",
            title="connect and close",
            attackers=(Attacker(name="churn", processes=2),),
            settings=ONE_ADDRESS,
        ),
        Attack(
            name="crash_limited",
            title="connect and reset",
            attackers=(Attacker(name="crash", processes=2),),
            settings=ONE_ADDRESS,
        ),
        Attack(
            name="stay_limited",
            title="connect and stay",
            attackers=(Attacker(name="stay", number=5000, processes=2),),
            settings=ONE_ADDRESS,
        ),
        Attack(
            name="crowd",
            title="connect and reset, from 200,000 addresses",
            attackers=(Attacker(name="crowd", number=200_000, processes=2),),
            settings=ONE_ADDRESS,
        ),
        Attack(
            name="vanish",
            title="requests, then a reset at any byte",
            attackers=(Attacker(name="vanish", number=20, processes=2),),
        ),
        Attack(
            name="deaf",
            title="100 that send all they can and never read",
            attackers=(Attacker(name="deaf", number=100),),
            settings=("timeouts.write=8",),
            held=100,
            ends=True,
        ),
        Attack(
            name="handshakes",
            title="50 TLS handshakes a second",
            attackers=(Attacker(name="handshakes", number=50),),
            scheme="tls",
        ),
        Attack(
            name="greetings",
            title="500 TLS hellos a second, no limits set",
            attackers=(Attacker(name="greetings", number=500),),
            scheme="tls",
        ),
        Attack(
            name="volleys",
            title="500 TLS hellos at once, no limits set",
            attackers=(Attacker(name="volleys", number=500),),
            scheme="tls",
        ),
        Attack(
            name="greetings_limited",
            title="500 TLS hellos a second",
            attackers=(Attacker(name="greetings", number=500),),
            settings=ONE_ADDRESS,
            scheme="tls",
        ),
    )
