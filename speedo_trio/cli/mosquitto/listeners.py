"""A listener of mosquitto as a bind.

Next: `speedo_trio.cli.mosquitto.toml`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

if TYPE_CHECKING:
    from speedo_trio.cli.mosquitto.result import Translation
    from speedo_trio.cli.mosquitto.scopes import Scope

_KNOWN: Final = frozenset(
    (
        *("acl_file", "allow_anonymous", "bind_address", "cafile", "certfile", "keyfile"),
        *("listener", "max_connections", "max_qos", "max_topic_alias", "password_file", "port"),
        *("protocol", "require_certificate", "use_identity_as_username"),
        "use_subject_as_username",
    )
)


def bind_of(listener: Scope, made: Translation) -> str:
    """Its URL; what it can't say is noted."""
    for name, option in listener.options.items():
        if name not in _KNOWN:
            made.note(option)
    websocket = listener.text("protocol") == "websockets"
    secure = bool(listener.text("certfile"))
    scheme = {(False, False): "tcp", (True, False): "tls", (False, True): "ws"}.get(
        (secure, websocket), "wss"
    )
    port, _, host = listener.text("listener").partition(" ")
    host = host.strip()
    if port == "0" and host:
        scheme = f"unix{'+tls' if secure else ''}{'+ws' if websocket else ''}"
        return f"{scheme}:{quote(host)}{_options(listener, made, mode=True)}"
    if not port:
        port = listener.text("port") or "1883"
        host = listener.text("bind_address") or ("" if listener.text("port") else "localhost")
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}:{port}{_options(listener, made)}"


def _options(listener: Scope, made: Translation, *, mode: bool = False) -> str:
    given: dict[str, str] = {"mode": "666"} if mode else {}  # as mosquitto leaves it to the umask
    if listener.text("certfile"):
        given["cert"] = listener.text("certfile")
        if listener.text("keyfile"):
            given["key"] = listener.text("keyfile")
        if listener.flag("require_certificate"):
            given["ca"] = listener.text("cafile")
        elif "cafile" in listener.options:
            made.note(
                listener.options["cafile"],
                "asks nobody for a certificate without require_certificate; it is left out",
            )
    elif "cafile" in listener.options:
        made.note(listener.options["cafile"], "is without a certfile; it is left out")
    return "?" * bool(given) + "&".join(f"{name}={quote(text)}" for name, text in given.items())
