r"""A PROXY header: what a proxy tells, before the first byte, of the client that it connects for.

Receiving of versions 1 and 2 of HAProxy's proxy-protocol.txt, 2020/03/05. Numbers such as 2.2 are
its sections. Whether a header is there is never guessed: it is either required or not looked for,
and only trusted proxies may send one, since it is the word of the sender alone (section 5).

======  ==========================================================================================
 v1     ``PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n``, or ``TCP6``, or ``UNKNOWN …``
 v2     a signature of 12 bytes, version and command, family and transport, a length; then, of
        that length, the addresses, and fields of type, length and value (TLVs)
======  ==========================================================================================

Next: `speedo_trio.io.networks`, who is trusted.
"""

from __future__ import annotations

import re
import socket
import struct
from typing import TYPE_CHECKING, TypeAlias

from attrs import frozen

from speedo_trio.errors import ConnectionLost, HandshakeError
from speedo_trio.events import Address
from speedo_trio.io.crc32c import crc32c

if TYPE_CHECKING:
    from speedo_trio.io.wire import Wire

MAX_BYTES = 4096
"""The longest header of version 2 that is taken. The length field permits 16 + 65535 bytes, but a
header is to fit a TCP segment of 536 bytes (section 2), and the addresses, a server name, a
certificate's common name and a unique id make about a thousand. nginx takes as much."""

_LINE_BYTES = 107
"""The longest line of version 1, its CRLF included (2.1)."""

_SHORTEST = 15
"""``PROXY UNKNOWN\\r\\n``; version 2 has 16 bytes at least. So many can be read at first."""

_PROXY = b"PROXY "
_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"

_LINE = re.compile(rb"PROXY (TCP[46] [0-9A-Fa-f:. ]*(\r\n?)?|UNKNOWN( .*|\r\n))", re.DOTALL)
"""What a line, or its beginning from the 15th byte on, looks like. A peer that sends anything else
is told at once, not when the line has got too long. After UNKNOWN all is allowed (2.1)."""

_PORT = re.compile(rb"0|[1-9][0-9]{0,4}")
"""No leading zeros (2.1)."""

_FIXED = struct.Struct("!12xBBH")
"""After the signature: version and command, family and transport, the length of the rest (2.2)."""

_LOCAL, _PROXIED = 0, 1
_STREAM, _DATAGRAM = 1, 2

_UNIX_PATH = 108

_ADDRESSES = {
    1: struct.Struct("!4s4sHH"),
    2: struct.Struct("!16s16sHH"),
    3: struct.Struct(f"!{_UNIX_PATH}s{_UNIX_PATH}s"),
}
"""Source and destination of AF_INET, AF_INET6 and AF_UNIX; ports after the addresses (2.2)."""

_FIELD = struct.Struct("!BH")
"""A TLV's type and length."""

_CRC32C, _UNIQUE_ID, _SSL = 0x03, 0x05, 0x20

_UNIQUE_ID_BYTES = 128
"""2.2.5"""

_SSL_FIXED = 5
"""An SSL TLV's flags and what verifying the certificate gave; TLVs of its own follow (2.2.6)."""

Fields: TypeAlias = tuple[tuple[int, bytes], ...]


@frozen(kw_only=True)
class ProxyHeader:
    """What a PROXY header says."""

    version: int
    """1 or 2."""
    source: Address | None
    """The client. None: the proxy speaks for itself (LOCAL, as its health checks do), or it does
    not know or can't say (UNKNOWN, AF_UNSPEC): the socket's own addresses count.

    An IPv4 client may come as an IPv4-mapped IPv6 address, as the proxy gave it. A Unix client has
    a path only if it bound one that isn't abstract; bytes that aren't UTF-8 are surrogates in it,
    as `os.fsdecode` makes them."""
    destination: Address | None
    """What the client connected to. None when `source` is."""
    tlvs: Fields = ()
    """Version 2's fields as (type, value) in their order, paddings (0x04) and the checksum (0x03)
    included. Empty without a `source`: where fields begin is told by the family, and without one
    the rest of the header has no known shape and is passed over."""


class ProxyParser:
    """Takes the bytes of a connection's beginning until they are a header, and not one more.

    ::

        parser = ProxyParser()
        while (header := parser.feed(receive(parser.need))) is None:
            pass

    An end of the stream before the header is there is the caller's to see; `received` tells
    whether anything had come. After an error the parser is good for nothing more.
    """

    __slots__ = ("_seen", "header", "need")

    def __init__(self) -> None:
        self._seen = b""
        self.header: ProxyHeader | None = None
        """The header once it is there."""
        self.need: int = _SHORTEST
        """The most that may be read and fed next: so many bytes at least are missing. 0 when the
        header is there. A line's end can't be foreseen, so of a line it is 2 or 1 at a time."""

    @property
    def received(self) -> int:
        """Bytes fed so far; at most `MAX_BYTES`."""
        return len(self._seen)

    def feed(self, data: bytes) -> ProxyHeader | None:
        """Take at most `need` bytes; the header when these complete it, else None.

        Raises:
            HandshakeError: this is no header, or one that is not allowed. A wrong beginning is told
                at its first byte, what is wrong with a line's words after 15 bytes or at its end,
                with a block's family or length after 16, with the rest when it is complete.
        """
        assert len(data) <= self.need, "what follows the header is not the parser's"
        self._seen += data
        self.need = _missing(self._seen)
        if not self.need:
            self.header = _parse(self._seen)
        return self.header


async def receive_header(wire: Wire) -> ProxyHeader:
    """Wait for the header at the beginning of what the peer sends.

    What follows it stays unread, also after a cancel. A cancelled wire has lost what was read of
    the header; close it. How long to wait is the caller's to bound.

    Raises:
        HandshakeError: the peer sent no header, or one that is not allowed, or ended its stream
            inside it.
        ConnectionLost: the peer or the network broke the connection, or the peer left without a
            byte, as those do who only look whether somebody listens.
    """
    parser = ProxyParser()
    await wire.readable()
    while True:
        data = wire.read(parser.need)
        if data is None:
            await wire.readable()
        elif not data and not parser.received:
            raise ConnectionLost("the peer left without a PROXY header")
        elif not data:
            raise HandshakeError(
                f"the peer ended its stream after {parser.received} bytes; "
                "what must come first is a whole PROXY header"
            )
        elif (header := parser.feed(data)) is not None:
            return header


def _missing(seen: bytes) -> int:
    """How many bytes are missing at least; 0: none."""
    if _SIGNATURE.startswith(seen[: len(_SIGNATURE)]):
        missing = _missing_in_block
    elif _PROXY.startswith(seen[: len(_PROXY)]):
        missing = _missing_in_line
    else:
        raise HandshakeError(
            f"{seen!r} begins no PROXY header; allowed are {_PROXY!r} and {_SIGNATURE!r}"
        )
    return missing(seen) if len(seen) >= _SHORTEST else _SHORTEST - len(seen)


def _parse(seen: bytes) -> ProxyHeader:
    return _parse_line(seen) if seen.startswith(_PROXY) else _parse_block(seen)


# Version 1


def _missing_in_line(seen: bytes) -> int:
    if not _LINE.fullmatch(seen):
        raise _no_line(seen)
    if seen.endswith(b"\r\n"):
        return 0
    if len(seen) >= _LINE_BYTES:
        raise HandshakeError(f"{seen!r} has no end; allowed are PROXY lines of {_LINE_BYTES} bytes")
    return min(1 if seen.endswith(b"\r") else 2, _LINE_BYTES - len(seen))


def _parse_line(line: bytes) -> ProxyHeader:
    match line[:-2].split(b" "):
        case [_, b"UNKNOWN", *_]:
            return ProxyHeader(version=1, source=None, destination=None)
        case [_, protocol, source, destination, source_port, destination_port]:
            family = socket.AF_INET if protocol == b"TCP4" else socket.AF_INET6
            try:
                return ProxyHeader(
                    version=1,
                    source=_written_address(family, source, source_port),
                    destination=_written_address(family, destination, destination_port),
                )
            except ValueError as error:
                raise _no_line(line, f": {error}") from None
    raise _no_line(line)


def _no_line(line: bytes, why: str = "") -> HandshakeError:
    return HandshakeError(
        f"{line!r} is no PROXY line{why}; allowed are "
        "'PROXY TCP4|TCP6 source destination source-port destination-port\\r\\n' with one blank "
        "each, and 'PROXY UNKNOWN …\\r\\n'"
    )


def _written_address(family: socket.AddressFamily, host: bytes, port: bytes) -> Address:
    """From a line's words.

    IPv6 may end in an IPv4 address: 2.1 doesn't speak of it, but HAProxy and nginx write
    IPv4-mapped addresses so.

    Raises:
        ValueError: these are no words for an address; its text is about them.
    """
    try:
        packed = socket.inet_pton(family, host.decode("ascii"))
    except OSError:
        kind = "IPv4" if family == socket.AF_INET else "IPv6"
        raise ValueError(f"{host.decode('ascii')!r} is no {kind} address") from None
    if not _PORT.fullmatch(port) or int(port) > 65_535:
        raise ValueError(f"{port.decode('ascii')!r} is no port from 0 to 65535")
    return _tcp_address(family, packed, int(port))


def _tcp_address(family: socket.AddressFamily, packed: bytes, port: int) -> Address:
    # inet_ntop, since a socket's peer is written so: one client, one text.
    return Address("tcp", host=socket.inet_ntop(family, packed), port=port)


# Version 2


def _missing_in_block(seen: bytes) -> int:
    if len(seen) < _FIXED.size:
        return _FIXED.size - len(seen)
    version_command, kind, length = _FIXED.unpack_from(seen)
    version, command = divmod(version_command, 16)
    if version != 2:
        raise HandshakeError(f"version {version} of a binary PROXY header; allowed is 2")
    if command not in {_LOCAL, _PROXIED}:
        raise HandshakeError(f"PROXY command {command}; allowed are 0, LOCAL, and 1, PROXY")
    size: int = _FIXED.size + length
    if size > MAX_BYTES:
        raise HandshakeError(f"a PROXY header of {size} bytes; allowed are {MAX_BYTES}")
    if command == _PROXIED:
        _check_kind(kind, length)
    return size - len(seen)


def _check_kind(kind: int, length: int) -> None:
    """See that the family and the transport are served, and that there is room for addresses."""
    family, transport = divmod(kind, 16)
    if family > max(_ADDRESSES) or transport > _DATAGRAM:
        raise HandshakeError(
            f"PROXY family and transport 0x{kind:02x}; allowed are 0x00, 0x11, 0x21 and 0x31"
        )
    if transport == _DATAGRAM:  # 2.2: those not supported may be rejected, as UNSPEC may be
        raise HandshakeError(f"PROXY transport 0x{kind:02x} is for datagrams; allowed are streams")
    if not _unspecified(kind) and length < _ADDRESSES[family].size:
        raise HandshakeError(
            f"{length} bytes after a PROXY header of family and transport 0x{kind:02x}; "
            f"allowed are {_ADDRESSES[family].size} or more"
        )


def _unspecified(kind: int) -> bool:
    """Whether the family or the transport is UNSPEC: there are no addresses to be used."""
    family, transport = divmod(kind, 16)
    return not family or not transport


def _parse_block(seen: bytes) -> ProxyHeader:
    version_command, kind, _ = _FIXED.unpack_from(seen)
    if version_command % 16 == _LOCAL or _unspecified(kind):
        return ProxyHeader(version=2, source=None, destination=None)
    family = kind // 16
    source, destination = _block_addresses(family, seen)
    tlvs = _fields(seen[_FIXED.size + _ADDRESSES[family].size :])
    _check_fields(seen, tlvs)
    return ProxyHeader(version=2, source=source, destination=destination, tlvs=tlvs)


def _block_addresses(family: int, seen: bytes) -> tuple[Address, Address]:
    source, destination, *ports = _ADDRESSES[family].unpack_from(seen, _FIXED.size)
    if not ports:
        return _unix_address(source), _unix_address(destination)
    inet = socket.AF_INET if family == 1 else socket.AF_INET6
    return _tcp_address(inet, source, ports[0]), _tcp_address(inet, destination, ports[1])


def _unix_address(path: bytes) -> Address:
    path = path.partition(b"\0")[0]  # what follows may be anything, as in a sockaddr_un
    return Address("unix", path=path.decode("utf-8", "surrogateescape"))


# Version 2's fields


def _fields(data: bytes) -> Fields:
    """The TLVs that the data is made of.

    Raises:
        HandshakeError: one goes beyond the end.
    """
    fields = []
    while data:
        if len(data) < _FIELD.size:
            raise HandshakeError(f"{data!r} ends inside a TLV's type and length, 3 bytes")
        kind, size = _FIELD.unpack_from(data)
        value, data = data[_FIELD.size : _FIELD.size + size], data[_FIELD.size + size :]
        if len(value) < size:
            raise HandshakeError(
                f"TLV 0x{kind:02x} says that it has {size} bytes; in its place are {len(value)}"
            )
        fields.append((kind, value))
    return tuple(fields)


def _check_fields(seen: bytes, tlvs: Fields) -> None:
    """See that the fields whose form 2.2 gives have it."""
    for kind, value in tlvs:
        if kind == _CRC32C:
            _check_checksum(seen, value, tlvs)
        elif kind == _UNIQUE_ID and len(value) > _UNIQUE_ID_BYTES:
            raise HandshakeError(
                f"a unique id of {len(value)} bytes; allowed are {_UNIQUE_ID_BYTES}"
            )
        elif kind == _SSL:
            if len(value) < _SSL_FIXED:
                raise HandshakeError(
                    f"an SSL TLV of {len(value)} bytes; allowed are {_SSL_FIXED} or more"
                )
            _fields(value[_SSL_FIXED:])


def _check_checksum(seen: bytes, checksum: bytes, tlvs: Fields) -> None:
    """See that it is that of the whole header, with zeros in the checksum's own place (2.2.3)."""
    count = [kind for kind, _ in tlvs].count(_CRC32C)
    if len(checksum) != 4 or count != 1:
        raise HandshakeError(
            f"{count} checksums, one of {len(checksum)} bytes; allowed is one of 4 bytes"
        )
    end = b"".join(
        _FIELD.pack(kind, len(value)) + (bytes(4) if kind == _CRC32C else value)
        for kind, value in tlvs
    )
    computed = crc32c(seen[: -len(end)] + end).to_bytes(4)
    if computed != checksum:
        raise HandshakeError(
            f"the PROXY header's checksum is 0x{checksum.hex()}; its bytes have 0x{computed.hex()}"
        )
