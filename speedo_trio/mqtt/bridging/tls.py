"""TLS of a bridge, as its settings say.

Next: `speedo_trio.mqtt.bridging.crossing`.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from speedo_trio.errors import ConfigError

if TYPE_CHECKING:
    from speedo_trio.mqtt.bridging.settings import BridgeSettings


def tls_context(settings: BridgeSettings) -> ssl.SSLContext:
    """Whom to trust, and as whom to come. Reads files, which is done in no time.

    Raises:
        ConfigError: a file can't be read, or is none with a certificate.
    """
    try:
        context = ssl.create_default_context(cafile=settings.ca)
        if settings.cert is not None:
            context.load_cert_chain(settings.cert, settings.key)
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(filter(None, (settings.ca, settings.cert, settings.key)))
        text = f"{files}: {error.strerror or error}; allowed are files with certificates as PEM"
        raise ConfigError(text) from error
    if settings.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
