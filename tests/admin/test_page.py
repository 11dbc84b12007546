"""The page is one file, and only what is in it runs; what it shows is in test_browser.py."""

from __future__ import annotations

import re

from speedo_trio.admin.page import page_response


def test_the_page_is_whole() -> None:
    """Nothing is left to be filled in."""
    response = page_response()

    assert response.content_type == "text/html; charset=utf-8"
    assert b"<!DOCTYPE html>" in response.body
    assert b"{{" not in response.body


def test_the_page_asks_for_nothing_from_elsewhere() -> None:
    """No address in it leads out."""
    text = page_response().body.decode()
    addresses = set(re.findall(r"https?://[^\s\"'<]+", text))

    assert addresses <= {"http://www.w3.org/2000/svg"}  # names of XML, which nobody asks for
    assert re.findall(r"<(?:script|link|img|iframe)[^>]*\ssrc=", text) == []


def test_only_its_own_script_and_style_work() -> None:
    """Both have the nonce of the policy."""
    response = page_response()
    policy = response.headers["Content-Security-Policy"]
    (nonce,) = set(re.findall(r"'nonce-([\w-]+)'", policy))
    text = response.body.decode()

    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert re.findall(r"<(?:script|style)[^>]*>", text) == [
        f'<style nonce="{nonce}">',
        f'<script nonce="{nonce}">',
    ]
    assert re.findall(r"\s(?:on\w+|style)=", text) == []


def test_a_nonce_is_used_once() -> None:
    """Else it could be guessed."""
    policies = {page_response().headers["Content-Security-Policy"] for _ in range(10)}

    assert len(policies) == 10


def test_the_script_puts_text_and_no_markup_into_the_page() -> None:
    """What peers chose is in there."""
    text = page_response().body.decode()

    assert re.findall(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", text) == []
