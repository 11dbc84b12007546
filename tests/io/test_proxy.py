"""PROXY headers: which bytes are some, what they say, and that not a byte after them is taken."""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterator
from itertools import chain, repeat
from typing import NamedTuple

import pytest
import trio
import trio.testing
from hypothesis import example, given
from hypothesis import strategies as st

from speedo_trio.errors import ConnectionLost, HandshakeError
from speedo_trio.events import Address
from speedo_trio.io.proxy import MAX_BYTES, ProxyHeader, ProxyParser, receive_header
from speedo_trio.io.wire import SocketWire, StreamWire

SIGNATURE = bytes.fromhex("0d0a0d0a000d0a515549540a")
LOCAL, PROXY = 0x20, 0x21
TCP4, TCP6, UNIX = 0x11, 0x21, 0x31
PAYLOAD = b"\r\nGET / HTTP/1.1\r\nHost: 192.168.0.11\r\n\r\n"


# A builder of headers that shares nothing with what is tested


def checksum(data: bytes) -> int:
    """CRC-32C, bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0x82F63B78 * (crc & 1)
    return crc ^ 0xFFFFFFFF


def block(rest: bytes = b"", *, command: int = PROXY, kind: int = TCP4) -> bytes:
    """A header of version 2 with that after its length."""
    return SIGNATURE + bytes([command, kind]) + len(rest).to_bytes(2, "big") + rest


def tlv(kind: int, value: bytes) -> bytes:
    """A field."""
    return bytes([kind]) + len(value).to_bytes(2, "big") + value


def checked(before: bytes, after: bytes = b"", *, kind: int = TCP4) -> bytes:
    """A header of version 2 with its checksum between these."""
    zeroed = block(before + tlv(3, bytes(4)) + after, kind=kind)
    crc = checksum(zeroed).to_bytes(4, "big")
    return block(before + tlv(3, crc) + after, kind=kind)


FOUR = bytes([192, 168, 0, 1, 192, 168, 0, 11]) + struct.pack("!HH", 56324, 443)
SIX = bytes.fromhex("20010db8" + 24 * "0" + "00000000000000000000ffff0a010203") + bytes.fromhex(
    "dc04" + "01bb"
)
PATHS = b"/run/c".ljust(108, b"\0") + b"/run/s".ljust(108, b"\0")
SSL = b"\x01\0\0\0\0" + tlv(0x21, b"TLSv1.3") + tlv(0x22, b"client") + tlv(0x23, b"AES")

CLIENT = Address("tcp", host="192.168.0.1", port=56324)
SERVER = Address("tcp", host="192.168.0.11", port=443)


# Driving the parser as a reader does


class Received(NamedTuple):
    """What a reader that reads no more than `need` got, and the bytes that it left."""

    header: ProxyHeader | None
    left: bytes


def receive(data: bytes, most: Iterator[int] | None = None) -> Received:
    """Read from the data, each time at most so many bytes, until the header or the data's end."""
    parser = ProxyParser()
    most = most or repeat(MAX_BYTES)
    while data:
        assert 0 < parser.need
        size = min(parser.need, next(most))
        header = parser.feed(data[:size])
        data = data[size:]
        assert header is parser.header
        if header is not None:
            assert parser.need == 0
            return Received(header, data)
    return Received(None, b"")


def parse(data: bytes) -> ProxyHeader:
    """The header that the data is."""
    header, left = receive(data)
    assert header is not None
    assert left == b""
    return header


def refusal(data: bytes) -> str:
    """What is said of data that is refused, however it is cut."""
    said = set()
    for most in (MAX_BYTES, 1):
        with pytest.raises(HandshakeError) as refused:
            receive(data, repeat(most))
        said.add(str(refused.value))
    return said.pop()


# Version 1


@pytest.mark.parametrize(
    ("line", "source", "destination"),
    [
        ("TCP4 192.168.0.1 192.168.0.11 56324 443", CLIENT, SERVER),  # 2.1's example
        (
            "TCP4 255.255.255.255 255.255.255.255 65535 65535",
            Address("tcp", host="255.255.255.255", port=65535),
            Address("tcp", host="255.255.255.255", port=65535),
        ),
        (
            "TCP4 0.0.0.0 1.2.3.4 0 1",
            Address("tcp", host="0.0.0.0", port=0),
            Address("tcp", host="1.2.3.4", port=1),
        ),
        (
            "TCP6 2001:db8::1 ::1 56324 443",
            Address("tcp", host="2001:db8::1", port=56324),
            Address("tcp", host="::1", port=443),
        ),
        (
            "TCP6 :: 2001:DB8:0:0:0:0:0:000A 1 2",
            Address("tcp", host="::", port=1),
            Address("tcp", host="2001:db8::a", port=2),
        ),
        (
            "TCP6 {0} {0} 65535 65535".format(":".join(8 * ["ffff"])),
            Address("tcp", host=":".join(8 * ["ffff"]), port=65535),
            Address("tcp", host=":".join(8 * ["ffff"]), port=65535),
        ),
        (
            "TCP6 ::ffff:192.0.2.1 ::FFFF:c000:0202 1 2",
            Address("tcp", host="::ffff:192.0.2.1", port=1),
            Address("tcp", host="::ffff:192.0.2.2", port=2),
        ),
        ("UNKNOWN", None, None),
        ("UNKNOWN ", None, None),
        ("UNKNOWN {0} {0} 65535 65535".format(":".join(8 * ["ffff"])), None, None),  # 107 bytes
        ("UNKNOWN \r \n \0 \xff PROXY TCP4", None, None),
    ],
)
def test_lines(line: str, source: Address | None, destination: Address | None) -> None:
    """Version 1: the addresses as a socket would give them, or none."""
    header = ProxyHeader(version=1, source=source, destination=destination)

    assert parse(f"PROXY {line}\r\n".encode("latin-1")) == header


@pytest.mark.parametrize(
    "words",
    [
        "TCP4 1.1.1.1 2.2.2.2 1",
        "TCP4 1.1.1.1 2.2.2.2 1 2 3",
        "TCP4 1.1.1.1 2.2.2.2 1 2 ",
        "TCP4 1.1.1.1 2.2.2.2  1 2",
        "TCP4  1.1.1.1 2.2.2.2 1 2",
        " TCP4 1.1.1.1 2.2.2.2 1 2",
        "TCP4\t1.1.1.1 2.2.2.2 1 2",
        "TCP4 1.1.1.1\t2.2.2.2 1 2",
        "tcp4 1.1.1.1 2.2.2.2 1 2",
        "TCP5 1.1.1.1 2.2.2.2 1 2",
        "TCP 1.1.1.1 2.2.2.2 1 2",
        "UDP4 1.1.1.1 2.2.2.2 1 2",
        "UNKNOWNS and more",
        "UNKNOWN\t1.1.1.1 2.2.2.2 1 2",
        "UNKNOWN\r1.1.1.1 2.2.2.2 1 2",
        "unknown 1.1.1.1 2.2.2.2 1 2",
        "TCP4 01.1.1.1 2.2.2.2 1 2",
        "TCP4 1.1.1.1 2.2.2.00 1 2",
        "TCP4 1.1.1 2.2.2.2 1 2",
        "TCP4 1.1.1.1.1 2.2.2.2 1 2",
        "TCP4 1.1.1.256 2.2.2.2 1 2",
        "TCP4 1.1.1. 2.2.2.2 1 2",
        "TCP4 0x1.1.1.1 2.2.2.2 1 2",
        "TCP4 16843009 2.2.2.2 1 2",
        "TCP4 ::1 ::2 1 2",
        "TCP4 1.1.1.1 ::2 1 2",
        "TCP6 1.1.1.1 2.2.2.2 1 2",
        "TCP6 ::1 2.2.2.2 1 2",
        "TCP6 1::2::3 ::2 1 2",
        "TCP6 ::12345 ::2 1 2",
        "TCP6 1:2:3:4:5:6:7 ::2 1 2",
        "TCP6 1:2:3:4:5:6:7:8:9 ::2 1 2",
        "TCP6 fe80::1%lo ::2 1 2",
        "TCP6 [::1] ::2 1 2",
        "TCP6 ::1/64 ::2 1 2",
        "TCP6 ::g ::2 1 2",
        "TCP6 : ::2 1 2",
        "TCP4 1.1.1.1 2.2.2.2 01 2",
        "TCP4 1.1.1.1 2.2.2.2 1 00",
        "TCP4 1.1.1.1 2.2.2.2 1 65536",
        "TCP4 1.1.1.1 2.2.2.2 100000 2",
        "TCP4 1.1.1.1 2.2.2.2 +1 2",
        "TCP4 1.1.1.1 2.2.2.2 -1 2",
        "TCP4 1.1.1.1 2.2.2.2 a 2",
        "TCP4 1.1.1.1 2.2.2.2 . 2",
        "TCP4 1.1.1.1 2.2.2.2 1 2.",
        "TCP4 1.1.1.1 2.2.2.2 1 \xb2",
        "TCP4 1.1.1.1\0 2.2.2.2 1 2",
        "TCP4 1.1.1.1 2.2.2.2 1 2\r",
        "TCP4 1.1.1.1 2.2.2.2 1 2\n",
        "TCP4 1.1.1.1\r2.2.2.2 1 2",
    ],
)
def test_lines_that_are_none(words: str) -> None:
    """The grammar of 2.1, exactly; the text has what was seen and what is allowed."""
    said = refusal(f"PROXY {words}\r\n".encode("latin-1"))

    assert said.startswith("b'PROXY ")
    assert " is no PROXY line" in said
    assert "allowed are 'PROXY TCP4|TCP6 " in said


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"PROXY TCP4 1.1.1 2.2.2.2 1 2\r\n", ": '1.1.1' is no IPv4 address;"),
        (b"PROXY TCP6 ::1 2.2.2.2 1 2\r\n", ": '2.2.2.2' is no IPv6 address;"),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 65536\r\n", ": '65536' is no port from 0 to 65535;"),
    ],
)
def test_wrong_words_are_named(line: bytes, said: str) -> None:
    """Of a line that has the right number of them."""
    assert said in refusal(line)


@pytest.mark.parametrize("beginning", [b"PROXY UNKNOWN ", b"PROXY TCP4 "])
def test_line_is_bounded(beginning: bytes) -> None:
    """107 bytes with its end; one that has none there is told at once."""
    assert receive(beginning.ljust(106, b":")) == (None, b"")
    assert "has no end; allowed are PROXY lines of 107 bytes" in refusal(beginning.ljust(107, b":"))
    assert "has no end" in refusal(beginning.ljust(106, b":") + b"\r\n")


@pytest.mark.parametrize(
    "data",
    [
        b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n",
        b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\rG",
        b"PROXY TCP4 GET /",
        b"PROXY TCP7 1.1.1",
        b"PROXY UNKNOWN\r\r",
        b"PROXY UNKNOWN\n\n",
    ],
)
def test_wrong_line_is_refused_before_its_end(data: bytes) -> None:
    """Who waits for an answer, as after a single LF, gets one."""
    assert " is no PROXY line" in refusal(data)


# Version 2


@pytest.mark.parametrize(
    ("data", "source", "destination"),
    [
        (block(FOUR), CLIENT, SERVER),
        (
            block(SIX, kind=TCP6),
            Address("tcp", host="2001:db8::", port=56324),
            Address("tcp", host="::ffff:10.1.2.3", port=443),
        ),
        (
            block(PATHS, kind=UNIX),
            Address("unix", path="/run/c"),
            Address("unix", path="/run/s"),
        ),
        (
            block(bytes(108) + b"/" + 107 * b"x", kind=UNIX),
            Address("unix"),
            Address("unix", path="/" + 107 * "x"),
        ),
        (
            block(b"\0abstract".ljust(108, b"\0") + b"/a\0junk".ljust(108, b"j"), kind=UNIX),
            Address("unix"),
            Address("unix", path="/a"),
        ),
        (
            block("/é".encode().ljust(108, b"\0") + b"/\xff".ljust(108, b"\0"), kind=UNIX),
            Address("unix", path="/é"),
            Address("unix", path="/\udcff"),
        ),
    ],
)
def test_blocks(data: bytes, source: Address, destination: Address) -> None:
    """Version 2: the addresses of each family."""
    assert parse(data) == ProxyHeader(version=2, source=source, destination=destination)


@pytest.mark.parametrize(
    "data",
    [
        block(command=LOCAL, kind=0),
        block(command=LOCAL, kind=TCP4),
        block(b"whatever", command=LOCAL, kind=TCP4),
        block(FOUR + tlv(5, b"id"), command=LOCAL, kind=TCP4),
        block(tlv(3, b"junk"), command=LOCAL, kind=0),
        block(FOUR, command=LOCAL, kind=0x12),
        block(FOUR, command=LOCAL, kind=0xFF),
        block(kind=0),
        block(b"whatever", kind=0),
        block(b"whatever", kind=0x01),
        block(b"whatever", kind=0x10),
        block(b"whatever", kind=0x20),
        block(b"whatever", kind=0x30),
        block(bytes(MAX_BYTES - 16), command=LOCAL, kind=0),
    ],
)
def test_blocks_without_addresses(data: bytes) -> None:
    """LOCAL and UNSPEC: the rest is passed over, whatever it is and however long."""
    assert parse(data) == ProxyHeader(version=2, source=None, destination=None)


@pytest.mark.parametrize(
    ("fields", "tlvs"),
    [
        (tlv(1, b"h2") + tlv(2, b"example.org"), ((1, b"h2"), (2, b"example.org"))),
        (tlv(4, b"") + tlv(0xEE, b"x" * 300) + tlv(4, bytes(3)), None),
        (tlv(5, b"x" * 128), ((5, b"x" * 128),)),
        (tlv(5, b"") + tlv(5, b""), ((5, b""), (5, b""))),
        (tlv(0x20, SSL), ((0x20, SSL),)),
        (tlv(0x20, bytes(5)), ((0x20, bytes(5)),)),
        (tlv(0x30, b"blue"), ((0x30, b"blue"),)),
        (tlv(0xFF, b"x" * (MAX_BYTES - 16 - 12 - 3)), None),
        (tlv(0xE0, b"") * 1356, ((0xE0, b""),) * 1356),
    ],
)
def test_fields(fields: bytes, tlvs: tuple[tuple[int, bytes], ...] | None) -> None:
    """All of them in their order, known, unknown, empty, repeated and padding."""
    header = parse(block(FOUR + fields))

    assert header.source == CLIENT
    assert fields == b"".join(tlv(*field) for field in header.tlvs)
    assert tlvs in {None, header.tlvs}


@pytest.mark.parametrize(("addresses", "kind"), [(FOUR, TCP4), (SIX, TCP6), (PATHS, UNIX)])
def test_fields_follow_the_addresses(addresses: bytes, kind: int) -> None:
    """Of each family."""
    assert parse(block(addresses + tlv(5, b"id"), kind=kind)).tlvs == ((5, b"id"),)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"", b""),
        (tlv(5, b"id"), b""),
        (b"", tlv(5, b"id")),
        (tlv(4, bytes(7)) + tlv(0x20, SSL), tlv(2, b"example.org")),
        (tlv(0xE0, tlv(3, b"fake")), b""),
    ],
)
def test_checksum(before: bytes, after: bytes) -> None:
    """It is checked, wherever it stands, and given with the other fields."""
    data = checked(FOUR + before, after)

    assert parse(data).source == CLIENT
    assert dict(parse(data).tlvs)[3] == checksum_of(data, before)


def checksum_of(data: bytes, before: bytes) -> bytes:
    """Where the builder put it."""
    start = 16 + len(FOUR + before) + 3
    return data[start : start + 4]


@pytest.mark.parametrize("place", {*range(16, 16 + 12 + 5 + 7 + 5)} - {16 + 12 + 5})
def test_checksum_finds_every_wrong_byte(place: int) -> None:
    """In the addresses, in the fields and in the checksum itself, but for its type."""
    data = bytearray(checked(FOUR + tlv(5, b"id"), tlv(1, b"h2")))
    data[place] ^= 0x40
    with pytest.raises(HandshakeError):
        receive(bytes(data))


def test_wrong_checksum_is_told() -> None:
    """With both numbers."""
    good = checked(FOUR)
    bad = good[:-1] + bytes([good[-1] ^ 1])

    assert refusal(bad) == (
        f"the PROXY header's checksum is 0x{bad[-4:].hex()}; its bytes have 0x{good[-4:].hex()}"
    )


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (block(FOUR, command=0x11), "version 1 of a binary PROXY header; allowed is 2"),
        (block(FOUR, command=0x31), "version 3 of a binary PROXY header; allowed is 2"),
        (block(FOUR, command=0x22), "PROXY command 2; allowed are 0, LOCAL, and 1, PROXY"),
        (block(FOUR, command=0x2F), "PROXY command 15; allowed are 0, LOCAL, and 1, PROXY"),
        (
            block(FOUR, kind=0x41),
            "PROXY family and transport 0x41; allowed are 0x00, 0x11, 0x21 and 0x31",
        ),
        (
            block(FOUR, kind=0x13),
            "PROXY family and transport 0x13; allowed are 0x00, 0x11, 0x21 and 0x31",
        ),
        (
            block(FOUR, kind=0x03),
            "PROXY family and transport 0x03; allowed are 0x00, 0x11, 0x21 and 0x31",
        ),
        (
            block(FOUR, kind=0x40),
            "PROXY family and transport 0x40; allowed are 0x00, 0x11, 0x21 and 0x31",
        ),
        (block(FOUR, kind=0x12), "PROXY transport 0x12 is for datagrams; allowed are streams"),
        (block(SIX, kind=0x22), "PROXY transport 0x22 is for datagrams; allowed are streams"),
        (block(PATHS, kind=0x32), "PROXY transport 0x32 is for datagrams; allowed are streams"),
        (block(kind=0x02), "PROXY transport 0x02 is for datagrams; allowed are streams"),
        (
            block(FOUR[:-1]),
            "11 bytes after a PROXY header of family and transport 0x11; allowed are 12 or more",
        ),
        (
            block(FOUR, kind=TCP6),
            "12 bytes after a PROXY header of family and transport 0x21; allowed are 36 or more",
        ),
        (
            block(PATHS[:-1], kind=UNIX),
            "215 bytes after a PROXY header of family and transport 0x31; allowed are 216 or more",
        ),
        (
            block(FOUR + bytes(MAX_BYTES - 27)),
            "a PROXY header of 4097 bytes; allowed are 4096",
        ),
        (
            block(bytes(65_535), command=LOCAL, kind=0),
            "a PROXY header of 65551 bytes; allowed are 4096",
        ),
        (block(FOUR + b"\5"), r"b'\x05' ends inside a TLV's type and length, 3 bytes"),
        (
            block(FOUR + tlv(1, b"h2") + b"\5\0"),
            r"b'\x05\x00' ends inside a TLV's type and length, 3 bytes",
        ),
        (
            block(FOUR + b"\5\0\1"),
            "TLV 0x05 says that it has 1 bytes; in its place are 0",
        ),
        (
            block(FOUR + b"\1\xff\xffh2"),
            "TLV 0x01 says that it has 65535 bytes; in its place are 2",
        ),
        (block(FOUR + tlv(5, b"x" * 129)), "a unique id of 129 bytes; allowed are 128"),
        (block(FOUR + tlv(0x20, bytes(4))), "an SSL TLV of 4 bytes; allowed are 5 or more"),
        (
            block(FOUR + tlv(0x20, SSL + b"\x25\0")),
            r"b'%\x00' ends inside a TLV's type and length, 3 bytes",
        ),
        (
            block(FOUR + tlv(0x20, SSL + b"\x25\0\1") + tlv(1, b"h2")),
            "TLV 0x25 says that it has 1 bytes; in its place are 0",
        ),
        (block(FOUR + tlv(3, bytes(3))), "1 checksums, one of 3 bytes; allowed is one of 4 bytes"),
        (block(FOUR + tlv(3, bytes(5))), "1 checksums, one of 5 bytes; allowed is one of 4 bytes"),
        (
            checked(FOUR + tlv(3, bytes(4))),
            "2 checksums, one of 4 bytes; allowed is one of 4 bytes",
        ),
    ],
)
def test_blocks_that_are_not_allowed(data: bytes, said: str) -> None:
    """Refused with what was seen and what is allowed."""
    assert refusal(data) == said


@pytest.mark.parametrize(
    "fixed",
    [
        block(FOUR, command=0x11),
        block(FOUR, command=0x22),
        block(FOUR, kind=0x12),
        block(FOUR, kind=0x41),
        block(FOUR[:-1]),
        block(bytes(MAX_BYTES), command=LOCAL),
    ],
)
def test_wrong_block_is_refused_at_its_16th_byte(fixed: bytes) -> None:
    """What is not allowed is not waited for."""
    parser = ProxyParser()
    assert parser.feed(fixed[:15]) is None
    with pytest.raises(HandshakeError):
        parser.feed(fixed[15:16])


# What HAProxy 2.6 sent

SENT_OVER_TLS = bytes.fromhex(
    "0d0a0d0a000d0a515549540a211100a47f0000017f000001a1521bc0"
    "03000499a19ee3"
    "02000f736e692e6578616d706c652e6f7267"
    "05002e37463030303030313a413135325f37463030303030313a314243305f36423034374241305f303030393a"
    "32334541"
    "20004b0700000000210007544c5376312e332200096b6c69656e742dc3a92500075253413230343824000a52"
    "53412d534841323536230016544c535f4145535f3235365f47434d5f534841333834"
)


def test_haproxy_over_tls() -> None:
    """With proxy-v2-options crc32c,unique-id,authority,ssl,cert-cn,ssl-cipher,cert-sig,cert-key."""
    header = parse(SENT_OVER_TLS)
    fields = dict(header.tlvs)

    assert str(header.source) == "tcp://127.0.0.1:41298"
    assert str(header.destination) == "tcp://127.0.0.1:7104"
    assert list(fields) == [3, 2, 5, 0x20]
    assert fields[2] == b"sni.example.org"
    assert fields[5] == b"7F000001:A152_7F000001:1BC0_6B047BA0_0009:23EA"
    assert "klient-é".encode() in fields[0x20]


@pytest.mark.parametrize("place", [20, 40, 60, 160])
def test_haproxy_checksum(place: int) -> None:
    """A byte that changed on the way is found."""
    data = bytearray(SENT_OVER_TLS)
    data[place] ^= 1

    assert "checksum" in refusal(bytes(data))


@pytest.mark.parametrize(
    "data",
    [
        b"PROXY UNKNOWN\r\n",  # from a Unix client, and as a health check
        bytes.fromhex("0d0a0d0a000d0a515549540a20000000"),
        bytes.fromhex("0d0a0d0a000d0a515549540a20000012030004955e6a000500002000050000000000"),
    ],
)
def test_haproxy_without_addresses(data: bytes) -> None:
    """It says UNKNOWN or LOCAL, the latter with fields after it if it is to send some."""
    assert parse(data).source is None


def test_haproxy_mapped() -> None:
    """An IPv4 client of a bind for both families, in both versions."""
    line = parse(b"PROXY TCP6 ::ffff:127.0.0.1 ::ffff:127.0.0.1 54966 7202\r\n")
    blocks = parse(
        bytes.fromhex(
            "0d0a0d0a000d0a515549540a21210024"
            "00000000000000000000ffff7f00000100000000000000000000ffff7f000001d6b61c22"
        )
    )

    assert str(line.source) == str(blocks.source) == "tcp://[::ffff:127.0.0.1]:54966"
    assert line.destination == blocks.destination


# Neither


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"proxy TCP4 1.1.1.1 2.2.2.2 1 2\r\n",
        b"PROXY\tTCP4 1.1.1.1 2.2.2.2 1 2\r\n",
        b" PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n",
        b"\r\nPROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n",
        b"\0",
        SIGNATURE[:-1] + b"\r" + bytes(100),
        SIGNATURE[1:] + bytes(100),
    ],
)
def test_what_begins_no_header(data: bytes) -> None:
    """It is refused at the first byte that is wrong, with what was seen."""
    wrong = next(
        place
        for place in range(1, len(data) + 1)
        if not (b"PROXY ".startswith(data[:place]) or SIGNATURE.startswith(data[:place]))
    )
    assert receive(data[: wrong - 1]) == (None, b"")
    assert refusal(data[:wrong]).startswith(f"{data[:wrong]!r} begins no PROXY header; allowed")


def test_what_is_shown_is_bounded() -> None:
    """An error's text doesn't grow with what the peer sends."""
    assert len(refusal(b"PROXY UNKNOWN ".ljust(107, b"\xff"))) < 700
    assert len(refusal(b"\xff" * MAX_BYTES)) < 700
    assert len(refusal(block(b"\xff" * (MAX_BYTES - 16)))) < 700


# Reading no more than the header


def test_need_of_a_line() -> None:
    """15 bytes, then 2 at a time, and 1 after a CR."""
    parser = ProxyParser()
    line = b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n"
    needs = [parser.need]
    for data in (line[:10], line[10:15], *(bytes([byte]) for byte in line[15:])):
        parser.feed(data)
        needs.append(parser.need)

    assert needs == [15, 5, *repeat(2, 16), 1, 0]
    assert parser.received == len(line)


def test_need_never_goes_beyond_the_longest_line() -> None:
    """At the 106th byte it is one more."""
    parser = ProxyParser()
    for byte in b"PROXY UNKNOWN ".ljust(106, b"x"):
        parser.feed(bytes([byte]))

    assert parser.need == 1


def test_need_of_a_block() -> None:
    """15 bytes, one more, then all that its length tells."""
    parser = ProxyParser()
    data = block(FOUR + tlv(5, b"id"))
    assert parser.need == 15
    parser.feed(data[:10])
    assert parser.need == 5
    parser.feed(data[10:15])
    assert parser.need == 1
    parser.feed(data[15:16])
    assert parser.need == 17
    parser.feed(data[16:20])
    assert parser.need == 13
    assert parser.feed(data[20:]) is not None
    assert parser.need == 0


def test_parser_takes_nothing_beyond_need() -> None:
    """A reader that reads too much is mistaken, and learns it."""
    with pytest.raises(AssertionError):
        ProxyParser().feed(bytes(16))


def test_nothing_fed_is_nothing() -> None:
    """No bytes change nothing, at any place."""
    parser = ProxyParser()
    for byte in block(FOUR):
        need = parser.need
        assert parser.feed(b"") is None
        assert parser.need == need
        parser.feed(bytes([byte]))

    assert parser.feed(b"") == parser.header == parse(block(FOUR))


ADDRESSES = {4: st.ip_addresses(v=4), 6: st.ip_addresses(v=6)}
PORTS = st.integers(0, 65_535)
FIELDS = st.lists(
    st.one_of(
        st.tuples(st.integers(0, 255).filter(lambda kind: kind not in {3, 5, 0x20}), st.binary()),
        st.tuples(st.just(5), st.binary(max_size=128)),
        st.tuples(
            st.just(0x20),
            st.lists(st.binary(), max_size=3).map(
                lambda values: b"\7\0\0\0\1" + b"".join(tlv(0x21, value) for value in values)
            ),
        ),
    ),
    max_size=6,
)


class Made(NamedTuple):
    """A header's bytes, and what they say."""

    data: bytes
    header: ProxyHeader


@st.composite
def lines(draw: st.DrawFn) -> Made:
    """Headers of version 1."""
    version = draw(st.sampled_from([None, 4, 6]))
    if version is None:
        rest = draw(st.binary(max_size=91).filter(lambda text: b"\r\n" not in text))
        header = ProxyHeader(version=1, source=None, destination=None)
        return Made(b"PROXY UNKNOWN " + rest + b"\r\n", header)
    hosts = draw(st.tuples(*2 * [ADDRESSES[version]]))
    ports = draw(st.tuples(PORTS, PORTS))
    written = [host.exploded if draw(st.booleans()) else str(host) for host in hosts]
    line = f"PROXY TCP{version} {written[0]} {written[1]} {ports[0]} {ports[1]}\r\n"
    source, destination = map(tcp_address, hosts, ports)
    return Made(line.encode(), ProxyHeader(version=1, source=source, destination=destination))


@st.composite
def blocks(draw: st.DrawFn) -> Made:
    """Headers of version 2."""
    kind = draw(st.sampled_from([None, TCP4, TCP6, UNIX]))
    if kind is None:
        command, kind = draw(st.sampled_from([(LOCAL, 0), (LOCAL, TCP4), (PROXY, 0)]))
        data = block(draw(st.binary()), command=command, kind=kind)
        return Made(data, ProxyHeader(version=2, source=None, destination=None))
    if kind == UNIX:
        paths = draw(st.tuples(*2 * [st.text(PATH_LETTERS, max_size=27)]))
        source, destination = (Address("unix", path=path) for path in paths)
        addresses = b"".join(path.encode().ljust(108, b"\0") for path in paths)
    else:
        hosts = draw(st.tuples(*2 * [ADDRESSES[4 if kind == TCP4 else 6]]))
        ports = draw(st.tuples(PORTS, PORTS))
        source, destination = map(tcp_address, hosts, ports)
        addresses = hosts[0].packed + hosts[1].packed + struct.pack("!HH", *ports)
    before, after = draw(FIELDS), draw(FIELDS)
    written = [b"".join(tlv(*field) for field in fields) for fields in (before, after)]
    if draw(st.booleans()):
        data = checked(addresses + written[0], written[1], kind=kind)
        start = 16 + len(addresses + written[0]) + 3
        before.append((3, data[start : start + 4]))
    else:
        data = block(addresses + written[0] + written[1], kind=kind)
    tlvs = tuple(before + after)
    return Made(data, ProxyHeader(version=2, source=source, destination=destination, tlvs=tlvs))


PATH_LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")


def tcp_address(host: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> Address:
    """As a socket writes it: not all Pythons write IPv4-mapped addresses with dots."""
    family = socket.AF_INET if host.version == 4 else socket.AF_INET6
    return Address("tcp", host=socket.inet_ntop(family, host.packed), port=port)


CUTS = st.lists(st.integers(1, 40))
MADE = st.one_of(lines(), blocks())


@given(MADE, st.binary(max_size=20) | st.just(PAYLOAD), CUTS)
@example(Made(b"PROXY UNKNOWN\r\n", parse(b"PROXY UNKNOWN\r\n")), b"\r\n", [])
@example(Made(block(kind=0), parse(block(kind=0))), SIGNATURE, [])
def test_exactly_the_header_is_taken(made: Made, payload: bytes, cuts: list[int]) -> None:
    """However it comes in pieces, and whatever follows it."""
    assert receive(made.data + payload, chain(cuts, repeat(40))) == (made.header, payload)


@given(MADE, st.data())
def test_part_of_a_header_is_none(made: Made, data: st.DataObject) -> None:
    """Each beginning waits for more, and for no more than there is."""
    parser = ProxyParser()
    rest = made.data[: data.draw(st.integers(0, len(made.data) - 1))]
    missing = len(made.data) - len(rest)
    while rest:
        size = min(parser.need, len(rest))
        assert parser.feed(rest[:size]) is None
        rest = rest[size:]

    assert 0 < parser.need <= missing


@st.composite
def spoilt(draw: st.DrawFn) -> bytes:
    """A header with some bytes changed, put in or left out."""
    data = bytearray(draw(MADE).data)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(data)))
        data[place : place + draw(st.integers(0, 2))] = draw(st.binary(max_size=2))
    return bytes(data)


@given(spoilt() | st.binary() | st.binary().map(lambda data: block(FOUR + data)), CUTS)
def test_garbage_raises_nothing_else(data: bytes, cuts: list[int]) -> None:
    """A header, a wait for more, or a HandshakeError; the same, however it is cut."""
    outcomes = [outcome(data, repeat(MAX_BYTES)), outcome(data, chain(cuts, repeat(1)))]

    assert outcomes[0] == outcomes[1]


def outcome(data: bytes, most: Iterator[int]) -> Received | None:
    """What the data comes to; None: a HandshakeError."""
    try:
        return receive(data, most)
    except HandshakeError:
        return None


# Over a wire

HEADERS = [
    b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n",
    block(FOUR + tlv(5, b"id"), kind=TCP4),
]


@pytest.fixture
def pair() -> Iterator[tuple[SocketWire, socket.socket]]:
    """A wire over a Unix socket, and its peer."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        yield SocketWire(ours, "", Address("unix")), theirs


@pytest.mark.parametrize("data", HEADERS)
async def test_receive_header_leaves_the_rest(
    data: bytes, pair: tuple[SocketWire, socket.socket]
) -> None:
    """What came with the header is the next to be read."""
    wire, peer = pair
    peer.send(data + PAYLOAD)
    with trio.fail_after(5):
        header = await receive_header(wire)

    assert header.source == CLIENT
    assert wire.read(1000) == PAYLOAD


@pytest.mark.parametrize("data", HEADERS)
async def test_receive_header_waits(data: bytes, pair: tuple[SocketWire, socket.socket]) -> None:
    """For each of the header's bytes, and no longer."""
    wire, peer = pair
    headers: list[ProxyHeader] = []

    async def wait() -> None:
        headers.append(await receive_header(wire))

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            for byte in data:
                await trio.testing.wait_all_tasks_blocked()
                assert headers == []
                peer.send(bytes([byte]))

    assert [header.source for header in headers] == [CLIENT]
    assert wire.read(1) is None


@pytest.mark.parametrize("data", HEADERS)
async def test_receive_header_from_a_stream(data: bytes) -> None:
    """Any Trio stream will do, though it gives more at once."""
    ours, theirs = trio.testing.memory_stream_pair()
    wire = StreamWire(ours, 16_384)
    await theirs.send_all(data + PAYLOAD)
    with trio.fail_after(5):
        header = await receive_header(wire)

    assert header.source == CLIENT
    assert wire.read(1000) == PAYLOAD


async def test_end_without_a_byte(pair: tuple[SocketWire, socket.socket]) -> None:
    """Who only looks whether somebody listens makes no mistake."""
    wire, peer = pair
    peer.shutdown(socket.SHUT_WR)
    with trio.fail_after(5), pytest.raises(ConnectionLost, match="without a PROXY header"):
        await receive_header(wire)


@pytest.mark.parametrize("size", [1, 15, 16, 20])
@pytest.mark.parametrize("data", HEADERS)
async def test_end_inside_the_header(
    data: bytes, size: int, pair: tuple[SocketWire, socket.socket]
) -> None:
    """It is the peer's mistake; the text tells how far it came."""
    wire, peer = pair
    peer.send(data[:size])
    peer.shutdown(socket.SHUT_WR)
    with trio.fail_after(5), pytest.raises(HandshakeError) as refused:
        await receive_header(wire)

    assert str(refused.value) == (
        f"the peer ended its stream after {size} bytes; "
        "what must come first is a whole PROXY header"
    )


async def test_receive_header_refuses_at_once(pair: tuple[SocketWire, socket.socket]) -> None:
    """Without waiting for the end of what is no header."""
    wire, peer = pair
    peer.send(b"GET /")
    with trio.fail_after(5), pytest.raises(HandshakeError, match="begins no PROXY header"):
        await receive_header(wire)


@pytest.mark.parametrize("size", [0, 1, 20])
async def test_reset_inside_the_header(size: int) -> None:
    """Is a loss."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        peer = socket.create_connection(listening.getsockname())
        ours, name = listening.accept()
    with ours:
        ours.setblocking(False)
        peer.send(HEADERS[0][:size])
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        with trio.fail_after(5), pytest.raises(ConnectionLost):
            await receive_header(SocketWire(ours, name, Address("tcp")))


async def test_cancelled_receive_header_takes_nothing_more(
    pair: tuple[SocketWire, socket.socket],
) -> None:
    """What comes after the cancel, payload or the header's rest, is all there to be read."""
    wire, peer = pair
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive_header, wire)
            peer.send(HEADERS[0][:20])
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
            peer.send(HEADERS[0][20:] + PAYLOAD)

    assert wire.read(1000) == HEADERS[0][20:] + PAYLOAD


async def test_cancelled_before_the_first_byte(pair: tuple[SocketWire, socket.socket]) -> None:
    """Nothing is read at all."""
    wire, peer = pair
    peer.send(HEADERS[0])
    with trio.CancelScope() as scope:
        scope.cancel()
        await receive_header(wire)

    assert scope.cancelled_caught
    assert wire.read(1000) == HEADERS[0]
