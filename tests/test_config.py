"""Settings: each field's bounds, and a text that names the field, what was seen and is allowed."""

from __future__ import annotations

from typing import Any, NamedTuple

import attrs
import pytest

from speedo_trio.config import Config, Limits, Timeouts, Workers
from speedo_trio.errors import ConfigError

MOST = 2**31 - 1


class Whole(NamedTuple):
    """A field that is a whole number, with its bounds."""

    section: type[Any]
    name: str
    low: int = 1
    high: int = MOST
    none: bool = False


class Seconds(NamedTuple):
    """A field that is a time, with its lower bound."""

    section: type[Any]
    name: str
    low: float = 0.0
    none: bool = False


class Rate(NamedTuple):
    """A field that is a number a second, or none for no limit."""

    section: type[Any]
    name: str


WHOLE = (
    Whole(Limits, "connections"),
    Whole(Limits, "connections_per_address", none=True),
    Whole(Limits, "burst"),
    Whole(Limits, "burst_per_address"),
    Whole(Limits, "backlog", 1, 65_535),
    Whole(Limits, "read_bytes", 1, 2**24),
    Whole(Limits, "lane_messages"),
    Whole(Limits, "lane_bytes"),
    Whole(Limits, "messages"),
    Whole(Limits, "bytes", 1, 2**48),
    Whole(Limits, "unsent_high"),
    Whole(Limits, "unsent_bytes"),
    Whole(Workers, "count", 1, 4096),
    Whole(Workers, "tasks"),
    Whole(Workers, "turn_messages"),
    Whole(Workers, "turn_bytes"),
)
SECONDS = (
    Seconds(Timeouts, "handshake", 0.001, none=True),
    Seconds(Timeouts, "first_message", 0.001, none=True),
    Seconds(Timeouts, "idle", 0.001, none=True),
    Seconds(Timeouts, "lifetime", 0.001, none=True),
    Seconds(Timeouts, "write", 0.001, none=True),
    Seconds(Timeouts, "linger"),
    Seconds(Timeouts, "grace"),
    Seconds(Timeouts, "kill_after"),
    Seconds(Workers, "turn_seconds"),
    Seconds(Workers, "patience", 0.0001),
    Seconds(Workers, "linger"),
)
RATES = (Rate(Limits, "rate"), Rate(Limits, "rate_per_address"))
OTHERS = {(Limits, "when_full")}


def test_every_field_is_in_a_table() -> None:
    """A new field must be given its bounds here."""
    tabled = {(row.section, row.name) for row in (*WHOLE, *SECONDS, *RATES)} | OTHERS

    assert {
        (section, field.name)
        for section in (Limits, Timeouts, Workers)
        for field in attrs.fields(section)
    } == tabled


@pytest.mark.parametrize("row", WHOLE, ids=lambda row: row.name)
def test_whole_numbers_at_their_bounds_are_allowed(row: Whole) -> None:
    """The lowest and the highest number are allowed."""
    for value in (row.low, row.high):
        assert getattr(row.section(**{row.name: value}), row.name) == value


@pytest.mark.parametrize("row", WHOLE, ids=lambda row: row.name)
def test_other_than_whole_numbers_within_bounds_are_refused(row: Whole) -> None:
    """The text names the field, what was seen and what is allowed."""
    nothing = () if row.none else (None,)
    for value in (row.low - 1, row.high + 1, True, 2.0, "2", 10**400, *nothing):
        with pytest.raises(ConfigError) as refused:
            row.section(**{row.name: value})

        assert str(refused.value).startswith(f"{row.name} is {value!r}; ")
        assert f"a whole number from {row.low} to {row.high}" in str(refused.value)
        assert str(refused.value).endswith(" or none") == row.none


@pytest.mark.parametrize("row", [row for row in WHOLE if row.none], ids=lambda row: row.name)
def test_no_limit_is_none_where_it_is_allowed(row: Whole) -> None:
    """None is no limit."""
    assert getattr(row.section(**{row.name: None}), row.name) is None


@pytest.mark.parametrize("row", RATES, ids=lambda row: row.name)
def test_rates_within_bounds_are_allowed(row: Rate) -> None:
    """From one in a quarter of an hour to a million a second, and none for no limit."""
    for value in (0.001, 1, 2.5, 1_000_000, None):
        assert getattr(row.section(**{row.name: value}), row.name) == value


@pytest.mark.parametrize("row", RATES, ids=lambda row: row.name)
def test_other_than_rates_within_bounds_are_refused(row: Rate) -> None:
    """The text names the field, what was seen and what is allowed."""
    endless = (float("inf"), -float("inf"), float("nan"), 10**400)
    for value in (0, 0.0009, -1, 1_000_001, *endless, True, "2", b"", [1]):
        with pytest.raises(ConfigError) as refused:
            row.section(**{row.name: value})

        assert str(refused.value) == (
            f"{row.name} is {value!r}; allowed is a number from 0.001 to 1000000 or none"
        )


@pytest.mark.parametrize("row", SECONDS, ids=lambda row: f"{row.section.__name__}.{row.name}")
def test_times_within_bounds_are_allowed(row: Seconds) -> None:
    """The lowest time, whole numbers and fractions of seconds, and a year are allowed."""
    for value in (row.low, 1, 0.5, 365 * 86_400):
        assert getattr(row.section(**{row.name: value}), row.name) == value


@pytest.mark.parametrize("row", SECONDS, ids=lambda row: f"{row.section.__name__}.{row.name}")
def test_other_than_times_within_bounds_are_refused(row: Seconds) -> None:
    """The text names the field, what was seen and what is allowed."""
    endless = (float("inf"), -float("inf"), float("nan"), 10**400, 1e12, 400 * 86_400)
    for value in (row.low - 0.00001, *endless, True, "2", b"", [1]):
        with pytest.raises(ConfigError) as refused:
            row.section(**{row.name: value})

        assert str(refused.value).startswith(f"{row.name} is {value!r}; ")
        assert f"a number of seconds from {row.low:g} to a year" in str(refused.value)


@pytest.mark.parametrize("row", SECONDS, ids=lambda row: f"{row.section.__name__}.{row.name}")
def test_for_ever_is_none_where_it_is_allowed(row: Seconds) -> None:
    """None is for ever, or it is refused and the text doesn't offer it."""
    if row.none:
        assert getattr(row.section(**{row.name: None}), row.name) is None
    else:
        with pytest.raises(ConfigError) as refused:
            row.section(**{row.name: None})
        assert "or none" not in str(refused.value)


def test_refused_times_offer_none() -> None:
    """Where None is allowed, the text says so."""
    with pytest.raises(ConfigError, match=r"or none$"):
        Timeouts(idle=-1)


@pytest.mark.parametrize("value", ["wait", "refuse"])
def test_when_full_allowed(value: Any) -> None:
    """Both ways to treat a peer over the limit."""
    assert Limits(when_full=value).when_full == value


@pytest.mark.parametrize("value", ["", "Wait", "drop", None, 1, ["wait"]])
def test_when_full_refused(value: Any) -> None:
    """The text gives the choices."""
    with pytest.raises(ConfigError) as refused:
        Limits(when_full=value)

    assert str(refused.value) == f"when_full is {value!r}; allowed is 'wait' or 'refuse'"


@pytest.mark.parametrize(
    ("name", "kind"), [("limits", Limits), ("timeouts", Timeouts), ("workers", Workers)]
)
def test_sections(name: str, kind: type[Any]) -> None:
    """A section is an object of its class, not a mapping nor another section."""
    section = kind()
    other: Any = Workers() if kind is Limits else Limits()

    assert getattr(Config(**{name: section}), name) is section
    values: list[Any] = [{}, None, kind, other]
    for value in values:
        with pytest.raises(ConfigError, match=f"^{name} is .*; allowed is a {kind.__name__}$"):
            Config(**{name: value})


def test_config_errors_are_value_errors() -> None:
    """Who knows nothing of the house can catch them as what they are."""
    with pytest.raises(ValueError, match="grace"):
        Timeouts(grace=-1)


def test_config_is_frozen() -> None:
    """A server's settings don't change under it."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Config().limits.messages = 1  # type: ignore[misc]  # is what is tested


def test_evolve_validates() -> None:
    """A changed copy is validated as a new one is."""
    with pytest.raises(ConfigError):
        attrs.evolve(Config().workers, count=0)


def test_defaults_fit_together() -> None:
    """A reply of one turn fits what may wait, and the waits begin before the end."""
    config = Config()

    assert config.limits.unsent_high < config.limits.unsent_bytes
    assert config.workers.turn_bytes + config.limits.unsent_high < config.limits.unsent_bytes
    assert config.limits.lane_messages < config.limits.messages
