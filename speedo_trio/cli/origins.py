"""Origins: which flag, variable or file gave each setting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field
from cyclopts import UNSET

from speedo_trio.cli.file import SettingsFile
from speedo_trio.cli.mistakes import Mistake
from speedo_trio.cli.settings import LISTS, TEXTS, check_setting, from_text

if TYPE_CHECKING:
    from cyclopts import App, Argument, ArgumentCollection, Token

    from speedo_trio.cli.settings import Keys


@define
class Origins:
    """Remembers where settings came from; the last of the app's sources, so it sees them all."""

    _tokens: dict[Keys, Token] = field(factory=dict, init=False)
    file: SettingsFile = field(factory=SettingsFile, init=False)
    """The source before this one."""

    def __call__(self, app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
        """Note the origin of each setting that was given, and check flags and variables.

        Raises:
            ConfigError: a value is not allowed.
            Mistake: a section was given as if it were a setting.
        """
        for argument in arguments:
            if argument.keys and argument.tokens:
                self._tokens[argument.keys] = argument.tokens[0]
                _check(argument)

    def place(self, keys: Keys) -> str:
        """The flag, variable or file key that gave the setting, as errors name it."""
        token = self._tokens.get(keys)
        if token is None or token.source in ("cli", "env"):
            return _place(token)
        return f"{token.source}: {'.'.join(keys)}"

    def of(self, keys: Keys) -> str:
        """Where the setting at `keys` came from, in words."""
        token = self._tokens.get(keys)
        if token is None:
            return "default"
        if token.source == "cli":
            return f"flag {token.keyword}" if token.keyword else "argument PROTOCOL"
        return f"environment variable {token.keyword}" if token.source == "env" else token.source


def _check(argument: Argument) -> None:
    for token in argument.tokens:
        place = _place(token)
        if argument.children:
            raise Mistake(
                f"{place} is a section; set what is in it, such as {argument.children[0].name}"
            )
        if token.source not in ("cli", "env"):
            continue  # a file is checked where it is read, with TOML's own types
        check_setting(place, argument.keys, _value(argument.keys, token))


def _value(keys: Keys, token: Token) -> object:
    """What a flag or variable gives, for the setting's own validator."""
    if token.implicit_value is not UNSET:
        return token.implicit_value  # a flag without a value
    value = token.value if keys in TEXTS else from_text(token.value)
    return (value,) if keys in LISTS else value


def _place(token: Token | None) -> str:
    return (token and token.keyword) or "PROTOCOL"
