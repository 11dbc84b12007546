"""Trust: whom a command that connects trusts, and as whom it presents itself, in TLS."""

from __future__ import annotations

import os
import re
import ssl
from typing import TYPE_CHECKING, Final

from speedo_trio.cli.mistakes import Mistake
from speedo_trio.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Protocol

    class Trust(Protocol):
        """The flags of a command's plan."""

        @property
        def ca(self) -> Path | None:
            """Certificates to trust; None for those of the system."""

        @property
        def insecure(self) -> bool:
            """Whether to trust anybody."""

        @property
        def cert(self) -> Path | None:
            """This client's certificate."""

        @property
        def key(self) -> Path | None:
            """Its key, if it is not in the same file."""


_OPENSSL: Final = re.compile(r"^\[[^]]*\] | \(_ssl\.c:\d+\)$")
"""What Python puts around a text of OpenSSL: ``[SSL: WRONG_VERSION_NUMBER] `` and where it was."""
_PEM: Final = "allowed is a file with a certificate as PEM"


def check_trust(trust: Trust, *, secure: bool, schemes: str, seen: str) -> None:
    """See whether the flags go together, and there is TLS to use them for.

    Args:
        trust: the flags.
        secure: whether there is TLS.
        schemes: those that have it, for the error.
        seen: what was given instead, for the error.

    Raises:
        ConfigError: they don't; the text tells which, and what is allowed.
    """
    given = {
        "--ca": trust.ca,
        "--insecure": trust.insecure,
        "--cert": trust.cert,
        "--key": trust.key,
    }
    first = next((flag for flag, value in given.items() if value), None)
    if first and not secure:
        raise ConfigError(f"{first} is for {schemes}, and {seen}")
    if trust.ca and trust.insecure:
        raise ConfigError("--ca and --insecure contradict one another; allowed is one of them")
    if trust.key and not trust.cert:
        raise ConfigError("--key is for --cert, which is not given")


def client_context(trust: Trust) -> ssl.SSLContext:
    """TLS as the flags say.

    Raises:
        Mistake: a file cannot be read.
    """
    context = ssl.create_default_context()
    if trust.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if trust.ca is not None:
        try:
            context = ssl.create_default_context(cafile=trust.ca)
        except (OSError, ssl.SSLError) as error:
            raise Mistake(f"--ca {trust.ca}: {_text(error)}; {_PEM}") from error
    if trust.cert is not None:
        try:
            context.load_cert_chain(trust.cert, trust.key)
        except (OSError, ssl.SSLError) as error:
            text = f"--cert {trust.cert}: {_text(error)}; {_PEM}, and its key"
            raise Mistake(text) from error
    return context


def _text(error: OSError) -> str:
    if isinstance(error, ssl.SSLError) or not error.errno:
        return _OPENSSL.sub("", str(error))
    return os.strerror(error.errno)
