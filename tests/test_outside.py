"""What is done with tests that lack something."""

from __future__ import annotations

import pytest

from tests.outside import VARIABLE, need


def test_nothing_is_done_when_all_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs, modules and files."""
    monkeypatch.setenv(VARIABLE, "required")

    need("sh", modules=("pytest",), files=(__file__,))


def test_what_lacks_something_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason tells what."""
    monkeypatch.delenv(VARIABLE, raising=False)

    match = "no-such-program, /no/such/file, the Python package nothing"
    with pytest.raises(pytest.skip.Exception, match=match):
        need("sh", "no-such-program", modules=("nothing",), files=("/no/such/file",))


def test_it_fails_where_all_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    """CI sets the variable."""
    monkeypatch.setenv(VARIABLE, "required")

    with pytest.raises(pytest.fail.Exception, match="no-such-program"):
        need("no-such-program")
