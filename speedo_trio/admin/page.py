"""The page: one HTML file that asks for the status each second and draws it.

It is put together here from ``web/``: what a browser gets asks for nothing else but the status.

Next: `speedo_trio.admin.site`.
"""

from __future__ import annotations

import secrets
from importlib.resources import files

from speedo_trio.admin.response import Response

_POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def _read(name: str) -> str:
    return files("speedo_trio.admin").joinpath("web", name).read_text("utf-8")


_PAGE = (
    _read("index.html")
    .replace("{{style}}", _read("style.css"))
    .replace("{{script}}", _read("script.js"))
)


def page_response() -> Response:
    """The page, with a nonce that makes its own script and style the only ones that work."""
    nonce = secrets.token_urlsafe(16)
    return Response(
        body=_PAGE.replace("{{nonce}}", nonce).encode(),
        content_type="text/html; charset=utf-8",
        headers={"Content-Security-Policy": _POLICY.replace("{nonce}", nonce)},
    )
