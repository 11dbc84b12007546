"""Binds: which texts are addresses, which sockets they open, and what is said of those refused."""

from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import example, given
from hypothesis import strategies as st

from speedo_trio.errors import BindError
from speedo_trio.io.binds import (
    ALLOWED,
    Bind,
    FdSource,
    SystemdSource,
    TCPSource,
    UnixSource,
    parse_bind,
)
from speedo_trio.io.networks import DEFAULT_TRUSTED, parse_networks
from speedo_trio.io.tls import TLSFiles

FOREIGN = "192.0.2.1"  # RFC 5737: nobody's


# The grammar


CERT = TLSFiles(cert="c.pem", key=None, ca=None, alpn=())


@pytest.mark.parametrize(
    ("text", "bind"),
    [
        ("tcp://localhost:9292", Bind(TCPSource("localhost", 9292))),
        ("tcp://localhost:9292/", Bind(TCPSource("localhost", 9292))),
        ("tcp://0.0.0.0:1", Bind(TCPSource("0.0.0.0", 1))),
        ("tcp://:65535", Bind(TCPSource("", 65_535))),
        ("tcp://[::1]:0", Bind(TCPSource("::1", 0))),
        ("tcp://[::]:9292", Bind(TCPSource("::", 9292))),
        ("tcp://[::ffff:127.0.0.1]:9292", Bind(TCPSource("::ffff:127.0.0.1", 9292))),
        ("tcp://[fe80::1%eth0]:9292", Bind(TCPSource("fe80::1%eth0", 9292))),
        ("tcp://some-host.example.org:00080", Bind(TCPSource("some-host.example.org", 80))),
        ("tcp://:1?reuseport", Bind(TCPSource("", 1, reuseport=True))),
        ("unix:/run/speedo.sock", Bind(UnixSource("/run/speedo.sock", 0o600))),
        ("unix:/run/speedo.sock?mode=660", Bind(UnixSource("/run/speedo.sock", 0o660))),
        ("unix:/run/speedo.sock?mode=0777", Bind(UnixSource("/run/speedo.sock", 0o777))),
        ("unix:/run/speedo.sock?mode=000", Bind(UnixSource("/run/speedo.sock", 0))),
        ("unix:/with space/é:1", Bind(UnixSource("/with space/é:1"))),
        ("unix:/" + "x" * 106, Bind(UnixSource("/" + "x" * 106))),
        ("fd://3", Bind(FdSource(3))),
        ("systemd:", Bind(SystemdSource())),
        ("systemd:web", Bind(SystemdSource("web"))),
        ("tls://h:1?cert=c.pem", Bind(TCPSource("h", 1), tls=CERT)),
        (
            "tls://h:1?cert=/a%20b&key=k&ca=c&alpn=h2,http/1.1",
            Bind(
                TCPSource("h", 1),
                tls=TLSFiles(cert="/a b", key="k", ca="c", alpn=("h2", "http/1.1")),
            ),
        ),
        ("tcp+proxy://h:1", Bind(TCPSource("h", 1), proxy=DEFAULT_TRUSTED)),
        (
            "tls+proxy://h:1?cert=c.pem&trust=10.0.0.0/8,::1",
            Bind(TCPSource("h", 1), proxy=parse_networks("10.0.0.0/8,::1"), tls=CERT),
        ),
        ("ws://h:1", Bind(TCPSource("h", 1), websocket="")),
        ("ws://h:1/", Bind(TCPSource("h", 1), websocket="")),
        ("ws://h:1/mqtt", Bind(TCPSource("h", 1), websocket="/mqtt")),
        ("wss://h:1/a/b?cert=c.pem", Bind(TCPSource("h", 1), tls=CERT, websocket="/a/b")),
        ("ws+tls://h:1?cert=c.pem", Bind(TCPSource("h", 1), tls=CERT, websocket="")),
        ("unix+ws:/s?path=/mqtt", Bind(UnixSource("/s"), websocket="/mqtt")),
        (
            "ws://h:1/a?origin=https://App.example.org,http://[::1]:8080",
            Bind(
                TCPSource("h", 1),
                websocket="/a",
                origins=("https://app.example.org", "http://[::1]:8080"),
            ),
        ),
        (
            "unix+ws:/s?origin=chrome-extension://abc",
            Bind(UnixSource("/s"), websocket="", origins=("chrome-extension://abc",)),
        ),
        ("fd+tls://7?cert=c.pem", Bind(FdSource(7), tls=CERT)),
        (
            "systemd+ws+tls+proxy:web?cert=c.pem",
            Bind(SystemdSource("web"), proxy=DEFAULT_TRUSTED, tls=CERT, websocket=""),
        ),
    ],
)
def test_addresses_to_listen_on(text: str, bind: Bind) -> None:
    """All forms of the module's docstring."""
    assert parse_bind(text) == bind


@pytest.mark.parametrize(
    "text",
    [
        "",
        "9292",
        ":9292",
        "localhost:9292",
        "tcp:localhost:9292",
        "tcp:/localhost:9292",
        "tcp://",
        "tcp://localhost",
        "tcp://localhost:",
        "tcp://localhost:port",
        "tcp://localhost:-1",
        "tcp://localhost:+1",
        "tcp://localhost: 1",
        "tcp://localhost:1 ",
        " tcp://localhost:1",
        "tcp://localhost:1\n",
        "tcp://localhost:\uff11",  # a digit, but of full width
        "tcp://localhost:65536",
        "tcp://localhost:99999",
        "tcp://localhost:100000",
        "tcp://localhost:1/path",
        "tcp://localhost:1?mode=600",
        "tcp://localhost:1#x",
        "tcp://user@localhost:1",
        "tcp://::1:9292",
        "tcp://[::1]",
        "tcp://[::1:9292",
        "tcp://::1]:9292",
        "tcp://[[::1]]:9292",
        "tcp://[]:9292",
        "tcp://[localhost]:9292",
        "tcp://[127.0.0.1]:9292",
        "TCP://localhost:9292",
        "udp://localhost:9292",
        "tls://localhost:9292",
        "tls://localhost:9292?cert=",
        "tls://localhost:9292?key=k",
        "tls://localhost:9292?cert=c&cert=d",
        "tls://localhost:9292?cert=c&alpn=",
        "tls://localhost:9292?cert=c&alpn=a,,b",
        "tls://localhost:9292/path?cert=c",
        "tls+tls://localhost:9292?cert=c",
        "tcp+proxy+proxy://localhost:9292",
        "tcp+http://localhost:9292",
        "tcp+proxy://localhost:9292?trust=everybody",
        "tcp://localhost:9292?trust=127.0.0.1",
        "tcp://localhost:9292?cert=c",
        "tcp://localhost:9292?reuseport=1",
        "ws://localhost:9292?path=/x",
        "ws://localhost:9292/with space",
        "unix+ws:/p?path=x",
        "ws://localhost:9292?origin=",
        "ws://localhost:9292?origin=null",
        "ws://localhost:9292?origin=*",
        "ws://localhost:9292?origin=example.org",
        "ws://localhost:9292?origin=https://",
        "ws://localhost:9292?origin=https://example.org/",
        "ws://localhost:9292?origin=https://example.org:",
        "ws://localhost:9292?origin=https://example.org,",
        "ws://localhost:9292?origin=https://user@example.org",
        "ws://localhost:9292?origin=https://b\u00fccher.example",
        "tls://localhost:9292?cert=c&origin=https://example.org",
        "fd:3",
        "fd://",
        "fd://-1",
        "fd://three",
        "fd://3/",
        "fd://3?mode=600",
        "systemd://web",
        "systemd:a:b",
        "systemd:a b",
        "unix:",
        "unix:relative.sock",
        "unix:./relative.sock",
        "unix:@abstract",
        "unix:\0abstract",
        "unix:/with\0null",
        "unix:/p#x",
        "unix:/p?mode",
        "unix:/p?mode=",
        "unix:/p?mode=6",
        "unix:/p?mode=66",
        "unix:/p?mode=680",
        "unix:/p?mode=1777",
        "unix:/p?mode=0o600",
        "unix:/p?mode=rw-",
        "unix:/p?mode=-600",
        "unix:/p?mode=\uff16\uff10\uff10",
        "unix:/p?owner=root",
        "unix:/p?mode=600&owner=root",
        "unix:/" + "x" * 107,
        "unix:/" + "é" * 54,
    ],
)
def test_what_is_no_address(text: str) -> None:
    """A BindError, whose text has what was given."""
    with pytest.raises(BindError) as refused:
        parse_bind(text)

    assert text in str(refused.value) or repr(text) in str(refused.value)


@pytest.mark.parametrize(
    ("text", "seen", "allowed"),
    [
        ("localhost:80", "'localhost:80'", "tcp://host:port"),
        ("tcp://:70000", "port 70000", "65535"),
        ("unix:/p?owner=me", "owner=me", "mode=NNN"),
        ("unix:/p?mode=9", "mode=9", "octal"),
        ("tcp://h:1?mode=600", "mode=600", "reuseport"),
        ("fd://3?mode=600", "mode=600", "no option"),
        ("tls://h:1", "tls://h:1", "?cert=file"),
        ("tcp+proxy://h:1?trust=me", "me", "network"),
        ("ws://h:1?origin=h", "origin=h", "origin=scheme://host:port"),
        ("tls+tls://h:1?cert=c", "twice", "once"),
        ("unix:/" + "x" * 199, "200 bytes", "107"),
    ],
)
def test_refusal_says_what_was_seen_and_what_is_allowed(text: str, seen: str, allowed: str) -> None:
    """Each kind of mistake has its text."""
    with pytest.raises(BindError) as refused:
        parse_bind(text)

    assert seen in str(refused.value)
    assert allowed in str(refused.value)


WORDS = "tcp unix fd systemd tls ws +proxy +tls +ws : // / [ ] ::1 localhost 9292 ? & mode= cert="
PIECES = st.sampled_from([*WORDS.split(), "660", "trust=", "\0"])


@given(st.one_of(st.text(), st.lists(PIECES).map("".join)))
@example("unix:/\ud800")
@example("tcp://" + "é" * 300 + ":1")
def test_any_text_is_a_bind_or_refused(text: str) -> None:
    """Nothing but a bind or a BindError comes of any text."""
    try:
        bind = parse_bind(text)
    except BindError:
        return

    assert isinstance(bind, Bind)


HOSTS = st.one_of(
    st.just(""),
    st.from_regex(r"[a-z0-9.-]{1,20}", fullmatch=True),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
)
PATHS = st.from_regex(r"/[a-z0-9/.]{1,20}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
ORIGINS = st.lists(
    st.from_regex(
        r"[a-z][a-z0-9+.-]{0,9}://(\[[0-9a-f:]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?", fullmatch=True
    )
)
BINDS = st.builds(
    Bind,
    st.one_of(
        st.builds(TCPSource, HOSTS, st.integers(0, 65_535), st.booleans()),
        st.builds(UnixSource, PATHS, st.integers(0, 0o777)),
        st.builds(FdSource, st.integers(0, 1000)),
        st.builds(SystemdSource, st.from_regex(r"[a-z0-9.+_-]{0,9}", fullmatch=True)),
    ),
    proxy=st.sampled_from([None, DEFAULT_TRUSTED, parse_networks("10.0.0.0/8,fd00::/8")]),
    tls=st.one_of(
        st.none(),
        st.builds(
            TLSFiles,
            cert=TEXTS,
            key=st.one_of(st.none(), TEXTS),
            ca=st.one_of(st.none(), TEXTS),
            alpn=st.sampled_from([(), ("mqtt",), ("h2", "http/1.1"), ("a&b=c+d%20",)]),
        ),
    ),
).flatmap(
    lambda bind: st.one_of(
        st.just(bind),
        st.builds(
            evolve,
            st.just(bind),
            websocket=st.one_of(st.just(""), PATHS),
            origins=ORIGINS.map(tuple),
        ),
    )
)


@given(BINDS)
def test_str_of_a_bind_parses_to_it(bind: Bind) -> None:
    """What a message names can be typed again."""
    assert parse_bind(str(bind)) == bind


@given(BINDS, st.integers(3, 1000))
def test_inherited_bind_has_the_same_layers(bind: Bind, number: int) -> None:
    """What a process starts with is served as where it came from."""
    inherited = parse_bind(str(bind.inherited(number)))

    assert inherited.source == FdSource(number)
    assert inherited.layered == bind.layered
    assert (inherited.proxy, inherited.tls) == (bind.proxy, bind.tls)
    assert (inherited.websocket, inherited.origins) == (bind.websocket, bind.origins)


def test_allowed_tells_every_form() -> None:
    """The text that offers what is allowed is true: all of it parses."""
    forms = ALLOWED.removeprefix("allowed are ").partition(", and ")[0].split(", ")

    for form in forms:
        parse_bind(form.replace("v6", "::1").replace("port", "1"))
    assert len(forms) == 10
