"""A reading: what flags, variables and the file say at one moment."""

from __future__ import annotations

from collections.abc import Callable
from traceback import print_exception
from typing import TYPE_CHECKING, TypeAlias

from attrs import evolve, frozen

from speedo_trio.cli.mistakes import Mistake
from speedo_trio.cli.protocols import ONE_PROCESS, find_protocol
from speedo_trio.cli.settings import Settings, also_binds

if TYPE_CHECKING:
    from speedo_trio.cli.admin_plan import AdminPlan
    from speedo_trio.cli.origins import Origins
    from speedo_trio.protocol.handler import ProtocolHandlerFactory


@frozen
class Reading:
    """Settings, and where they came from."""

    settings: Settings
    origins: Origins
    traceback: bool = False
    """Whether to show the traceback when the protocol cannot be imported."""

    @classmethod
    def of(cls, settings: Settings | None, origins: Origins, *, traceback: bool) -> Reading:
        """What was given to a command; None: nothing was set."""
        found = evolve(settings or Settings(), bridges=origins.file.bridges)
        return cls(found, origins, traceback)

    def factories(self) -> list[ProtocolHandlerFactory]:
        """The factories of all protocols, imported; those that have a broker share one.

        Raises:
            Mistake: there is none of a name, or it cannot be imported; the text tells which setting
                asked for it.
        """
        made: list[ProtocolHandlerFactory] = []
        broker: object = None
        for name in self.settings.protocols:
            made.append(self._factory(name, broker))
            if broker is None and name in ONE_PROCESS:
                broker = getattr(made[-1], "broker", None)
        return made

    def _factory(self, name: str, broker: object) -> ProtocolHandlerFactory:
        """A protocol's factory.

        Raises:
            Mistake: there is none, or it cannot be imported; the text tells which setting asked
                for it.
        """
        try:
            return find_protocol(self.settings, name, broker)
        except Mistake as mistake:
            cause = mistake.__cause__
            if self.traceback and cause is not None:
                print_exception(cause)
            hint = "; --traceback shows more" if cause is not None and not self.traceback else ""
            first = name == self.settings.protocol
            place = self.origins.place(("protocol",) if first else ("also",))
            raise Mistake(f"{place}: {mistake}{hint}") from cause

    def check(self) -> None:
        """See that the protocols can be served together, and by as many processes.

        Raises:
            Mistake: it can't.
        """
        settings = self.settings
        if settings.protocol in also_binds(settings.also):
            seen = f"{self.origins.place(('also',))} has {settings.protocol}"
            raise Mistake(f"{seen}, which is served already; bind gives it more addresses")
        if settings.processes == 1:
            return
        seen = f"{self.origins.place(('processes',))} is {settings.processes}; allowed is 1"
        if settings.protocol in ONE_PROCESS:
            raise Mistake(f"{seen} for {settings.protocol}, whose clients meet in one process")
        if settings.also:
            raise Mistake(f"{seen} where several protocols are served")

    def admin(self) -> AdminPlan | None:
        """The admin endpoint that is asked for, if one is.

        Raises:
            Mistake: it lacks what it needs.
        """
        bind = self.settings.admin
        if bind is None:
            return None
        from speedo_trio.cli.admin_plan import plan_admin  # noqa: PLC0415  # few ask for it

        return plan_admin(bind, self.settings, self.origins)


Reread: TypeAlias = Callable[[], Reading]
"""Reads the same sources again. May block.

Raises:
    Mistake: something in them is not allowed.
"""
