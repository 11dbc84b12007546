"""TLS over a wire: a server's certificates, and the handshake and records of one connection.

The `ssl` module does it in memory; the bytes go through the wire below, so that any wire will do.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from speedo_trio.errors import ConfigError, ConnectionLost, HandshakeError
from speedo_trio.events import TLSInfo
from speedo_trio.io.layer import Layer, more, part
from speedo_trio.io.turnstile import Turnstile

if TYPE_CHECKING:
    from speedo_trio.io.wire import Data, Wire

_RECORD_BYTES = 16_384
"""The most plaintext in a record (RFC 8446, 5.1)."""

_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2: forward secrecy and authenticated encryption only (RFC 9325, 4.2). TLS 1.3 has
nothing else."""

_STEPS = 2
"""Steps of handshakes that are computed before other tasks run. The one that signs takes a
millisecond with an RSA key of 2048 bits."""


@frozen(kw_only=True)
class TLSFiles:
    """Where a server's certificates are, all in PEM, and what it speaks over TLS."""

    cert: str
    """The server's certificate, and behind it those that lead to its root."""
    key: str | None = None
    """The certificate's private key, not encrypted; None: it is in the file of the certificate."""
    ca: str | None = None
    """Who may have signed clients' certificates, which every client then must send (mutual TLS).
    None: clients are not asked for any."""
    alpn: tuple[str, ...] = ()
    """Names of protocols (RFC 7301), the best first; who offers none of them gets none."""


def server_context(files: TLSFiles) -> ssl.SSLContext:
    """A context for a server: TLS 1.2 or later, as RFC 9325 recommends it.

    Raises:
        ConfigError: a file is missing, or holds not what it should; the text names it.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    _load_certificate(context, files.cert, files.key or files.cert)
    if files.ca is not None:
        _load_authorities(context, files.ca)
    if files.alpn:
        _set_alpn(context, files.alpn)
    return context


def _load_certificate(context: ssl.SSLContext, cert: str, key: str) -> None:
    _check_pem(cert, b"CERTIFICATE-----")
    _check_pem(key, b"PRIVATE KEY-----")

    def refuse() -> str:  # without it, OpenSSL would ask on the terminal
        raise ConfigError(
            f"{key}: the private key is encrypted; allowed is one without a password, "
            "as `openssl pkey` writes it"
        )

    try:
        context.load_cert_chain(cert, key, password=refuse)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ConfigError(f"{key}: this is not the private key of {cert}") from error
        files = cert if cert == key else f"{cert} or {key}"  # OpenSSL does not tell which
        raise ConfigError(f"{files}: {_damage(error)}") from error


def _load_authorities(context: ssl.SSLContext, file: str) -> None:
    _check_pem(file, b"CERTIFICATE-----")
    try:
        context.load_verify_locations(cafile=file)
    except ssl.SSLError as error:
        raise ConfigError(f"{file}: {_damage(error)}") from error
    context.verify_mode = ssl.CERT_REQUIRED


def _damage(error: ssl.SSLError) -> str:
    return _text(error) if error.reason else "damaged; allowed is PEM"


def _check_pem(file: str, label: bytes) -> None:
    """See that the file has such a part; what OpenSSL tells of a wrong one does not name it."""
    try:
        text = Path(file).read_bytes()
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror or error}") from error
    if label not in text:
        wanted = label.decode().rstrip("-").lower()
        raise ConfigError(f"{file}: there is no {wanted} in it; allowed is PEM")


def _set_alpn(context: ssl.SSLContext, names: tuple[str, ...]) -> None:
    for name in names:
        if not (name.isascii() and 0 < len(name) < 256):
            raise ConfigError(f"ALPN {name!r}: allowed are 1 to 255 ASCII characters")
    context.set_alpn_protocols(names)


class Turns:
    """In whose handshake the next step is computed, when many are shaken at once.

    Who has got an answer goes on without waiting for all those who have not: with more of them than
    the processor can do, some handshakes are over in time, and not none.
    """

    __slots__ = ("first", "later")

    def __init__(self) -> None:
        self.first: Turnstile = Turnstile(_STEPS)
        self.later: Turnstile = Turnstile(_STEPS)


class TLSWire(Layer):
    """The server's end of a TLS connection; `accept_tls` makes it.

    `read` tells the end of the stream when the peer says so (close_notify), and also when the wire
    below ends without that: many clients just close. Whoever must know that nothing was cut off
    knows it by its framing, as protocols over plain TCP do.

    The tickets for resumption that TLS 1.3 sends after the handshake leave with the first data. A
    client that only sends would never read them, and closing with something unread it would reset
    the connection, which could destroy what it had sent.
    """

    __slots__ = ("_incoming", "_outgoing", "_tickets", "_tls", "info")

    info: TLSInfo
    """What the handshake agreed on."""

    def __init__(self, below: Wire, context: ssl.SSLContext) -> None:
        super().__init__(below)
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tickets = 0  # bytes in `_outgoing` that wait for the first data
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    async def handshake(self, turns: Turns) -> None:
        """As `accept_tls` tells it; before anything else is done with the wire."""
        turnstile = turns.first
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                if self._outgoing.pending:
                    await self._say(self._outgoing.read())
                    turnstile = turns.later
                self._incoming.write(await more(self._below, "the TLS handshake"))
                await turnstile.enter()
            except ssl.SSLError as error:
                await part(self._below, self._outgoing.read())
                raise HandshakeError(f"TLS handshake: {_text(error)}") from error
        self.info = _info(self._tls)
        if self.info.version == "TLSv1.3":
            self._tickets = self._outgoing.pending
        else:
            await self._say(self._outgoing.read())
        self._rest = memoryview(self._receive(b""))  # what came behind the peer's last message

    def _encode(self, data: Data) -> bytes:
        try:
            self._tls.write(data)
        except ssl.SSLError as error:
            raise ConnectionLost(f"TLS: {_text(error)}") from error
        self._tickets = 0
        return self._outgoing.read()

    def _decode(self, raw: bytes) -> bytes:
        self._incoming.write(raw)
        data = b"".join(self._records())
        if self._outgoing.pending > self._tickets:
            self._answer(self._outgoing.read())
            self._tickets = 0
        return data

    def _records(self) -> list[bytes]:
        """The contents of the records that are complete."""
        records: list[bytes] = []
        try:
            while record := self._tls.read(_RECORD_BYTES):
                records.append(record)
                if not self._incoming.pending:
                    return records
            self._end()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:  # the end, when this side has told its own
            self._end()
        except ssl.SSLError as error:
            self._end(ConnectionLost(f"TLS: {_text(error)}"))
        return records

    def _farewell(self) -> bytes:
        try:
            self._tls.unwrap()
        except ssl.SSLWantReadError:  # it would wait for the peer's
            pass
        except ssl.SSLError as error:
            raise ConnectionLost(f"TLS: {_text(error)}") from error
        return self._outgoing.read()


async def accept_tls(below: Wire, context: ssl.SSLContext, turns: Turns | None = None) -> TLSWire:
    """Do a server's side of the handshake; the wire `below` belongs to the result.

    It waits for the peer as long as that takes: the deadline is the caller's. After an error or a
    cancel `below` is left for the caller to close. With TLS 1.3 a client learns only after its own
    handshake that its certificate was refused (RFC 8446, 4.4.2.4).

    Args:
        turns: of all who shake hands here, so that they don't hold up everybody else; None: it has
            not to wait for any.

    Raises:
        HandshakeError: the two sides can't agree, or what came is not TLS. The peer was told, if
            it took that within a second.
        ConnectionLost: the wire broke or ended.
    """
    wire = TLSWire(below, context)
    await wire.handshake(turns or Turns())
    return wire


def _info(tls: ssl.SSLObject) -> TLSInfo:
    version, cipher = tls.version(), tls.cipher()
    assert version is not None  # after a handshake
    assert cipher is not None
    return TLSInfo(
        version=version,
        cipher=cipher[0],
        alpn=tls.selected_alpn_protocol(),
        certificate=tls.getpeercert(),
    )


_TEXTS = {
    "HTTP_REQUEST": "this is plain HTTP",
    "HTTPS_PROXY_REQUEST": "this is plain HTTP",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "no certificate was sent",
    "WRONG_VERSION_NUMBER": "this is not TLS, or of an unknown version",
}
"""Where OpenSSL's reason in small letters is not what an operator would say."""


def _text(error: ssl.SSLError) -> str:
    """What went wrong, in words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not accepted: {error.verify_message}"
    reason = error.reason or str(error)
    return _TEXTS.get(reason) or reason.lower().replace("_", " ")
