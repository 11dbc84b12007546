"""The counter: what the interpreter does, as numbers that no other load of the machine changes."""

from __future__ import annotations

import select
import socket
import sys
import threading
from itertools import count
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import trio

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType

_Tracer: TypeAlias = "Any"  # what settrace takes and gives: a function of frame, event, argument
_KERNEL = (socket.socket, select.epoll)

FIGURES = ("instructions", "C calls", "system calls", "task steps")
"""What is counted: bytecode instructions; functions in C that they call; those of sockets and of
epoll among them, which are system calls; and how often Trio runs a task."""


class Tick:
    """A number that threads can add to at the same time."""

    def __init__(self) -> None:
        self._numbers = count()
        self._looks = 0
        self.up = self._numbers.__next__

    def look(self) -> int:
        """What it is now."""
        self._looks += 1
        return next(self._numbers) - self._looks + 1


class Tracing:
    """Instructions by `sys.settrace`, for Pythons that have nothing better: before 3.12."""

    def __init__(self, count_one: Callable[[], int]) -> None:
        self._count_one = count_one

    def begin(self) -> None:
        """Count in all threads that start from now on."""
        threading.settrace(self._trace)

    def go_on(self) -> None:
        """Count in this thread."""
        sys.settrace(self._trace)

    def pause(self) -> None:
        """Don't count in this thread."""
        sys.settrace(None)

    def end(self) -> None:
        """Count no more."""
        threading.settrace(None)

    def _trace(self, frame: FrameType, _event: str, _argument: object) -> _Tracer:
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return self._trace_opcode

    def _trace_opcode(self, _frame: FrameType, event: str, _argument: object) -> _Tracer:
        if event == "opcode":
            self._count_one()
        return self._trace_opcode


class Monitoring:
    """Instructions by `sys.monitoring` (PEP 669): in 3.12.1 tracing them ends in a crash."""

    def __init__(self, count_one: Callable[[], int]) -> None:
        self._count_one = count_one
        self._monitoring: Any = sys.monitoring  # type: ignore[attr-defined]  # 3.12
        self._tool: int = self._monitoring.PROFILER_ID
        self._paused: int | None = None  # the thread that doesn't count

    def begin(self) -> None:
        """Count in all threads."""
        instruction = self._monitoring.events.INSTRUCTION
        self._monitoring.use_tool_id(self._tool, "guard")
        self._monitoring.register_callback(self._tool, instruction, self._count)
        self._monitoring.set_events(self._tool, instruction)

    def go_on(self) -> None:
        """Count in this thread, too."""
        self._paused = None

    def pause(self) -> None:
        """Don't count in this thread."""
        self._paused = threading.get_ident()

    def end(self) -> None:
        """Count no more."""
        self._monitoring.set_events(self._tool, 0)
        self._monitoring.free_tool_id(self._tool)

    def _count(self, _code: CodeType, _offset: int) -> None:
        if self._paused is None or threading.get_ident() != self._paused:
            self._count_one()


class Counter(trio.abc.Instrument):
    """Counts in all threads that were started under it, and in this one between pauses."""

    def __init__(self) -> None:
        self._ticks = {name: Tick() for name in FIGURES}
        counts = Monitoring if sys.version_info >= (3, 12) else Tracing
        self._instructions = counts(self._ticks["instructions"].up)
        self._call = self._ticks["C calls"].up
        self._system_call = self._ticks["system calls"].up
        self._step = self._ticks["task steps"].up

    def __enter__(self) -> Self:
        self._instructions.begin()
        threading.setprofile(self._profile)
        self.go_on()
        return self

    def __exit__(self, *_: object) -> None:
        self.pause()
        self._instructions.end()
        threading.setprofile(None)

    def pause(self) -> None:
        """Don't count what this thread does."""
        sys.setprofile(None)
        self._instructions.pause()

    def go_on(self) -> None:
        """Count it again."""
        self._instructions.go_on()
        sys.setprofile(self._profile)

    def look(self) -> dict[str, int]:
        """All numbers; only differences between two looks mean anything."""
        return {name: tick.look() for name, tick in self._ticks.items()}

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Count it."""
        self._step()

    def _profile(self, _frame: FrameType, event: str, argument: Any) -> None:  # noqa: ANN401  # so it is
        if event == "c_call":
            self._call()
            if isinstance(getattr(argument, "__self__", None), _KERNEL):
                self._system_call()
