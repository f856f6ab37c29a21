"""How operations are recorded: the mode of each thread and asyncio task, and the `with` blocks that change it.

A block changes the mode and restores it in C, between two bytecode instructions. Python code of our own could be
interrupted by Ctrl-C after the change and before the block begins, or at the end before the mode is restored, and
recording would stay off for good.
"""

from __future__ import annotations

import inspect
import io
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import ContextDecorator
from contextvars import ContextVar, Token, copy_context
from functools import partial, wraps
from itertools import filterfalse, repeat
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

from ..option_checks import check_integer

T = TypeVar("T")


class Mode:
    """How operations are recorded: whether at all, for which time step, with which observer.

    `before` is the mode that `block` replaced; `frame` is the id of the frame that opened the block. `ledgers` take
    note of what `backward()` pools; a new mode has those of the one before.
    """

    __slots__ = ("before", "block", "frame", "ledgers", "observer", "recording", "time_step")
    block: ModeContext | None
    frame: int
    ledgers: tuple[Any, ...]

    def __init__(self, recording: bool, time_step: int | None, observer: Any, before: Mode | None) -> None:
        self.recording, self.time_step, self.observer, self.before = recording, time_step, observer, before
        self.block, self.frame, self.ledgers = None, 0, () if before is None else before.ledgers


_initial_mode = Mode(True, None, None, None)
_mode: ContextVar[Mode] = ContextVar("minigrad mode", default=_initial_mode)
_set_mode = _mode.set
mode = _mode.get
"""Returns the recording mode of the current thread or asyncio task."""


def run_recording(on: bool, function: Callable[[], T]) -> T:
    """Call `function` with recording on or off. It runs in a copy of the context: the caller's mode never changes."""
    return copy_context().run(_run_recording, on, function)


def _run_recording(on: bool, function: Callable[[], T]) -> T:
    before = mode()
    _set_mode(Mode(on, before.time_step, before.observer, before))
    return function()


# Blocks


class _Leave(io.IOBase):
    """What a `with` block calls at its end: `io.IOBase.__exit__` calls `close` in C, whatever the error."""

    __slots__ = ("close",)
    closed = True  # otherwise the destructor would call `close` once more


class _Enter:
    """`__enter__`: looking it up makes the block's mode, calling it sets the mode and returns what `opening` did."""

    def __get__(self, block: ModeContext | None, kind: type) -> Callable[..., Any]:
        if block is None:  # `contextlib.ExitStack` takes it from the class
            return lambda block: _entering(block, sys._getframe(1))()
        return _entering(block, sys._getframe(1))


def _entering(block: ModeContext, frame: FrameType) -> Callable[[], Any]:
    value = block.opening()
    now = block.changed(mode())
    now.block, now.frame = block, id(frame)
    return partial(next, filterfalse(_set_mode, (now,)), value)  # set returns a true token, so `next` its default


class _Exit:
    """`__exit__`: looked up before the block, it keeps the mode found there. Calling it restores that mode."""

    def __get__(self, block: ModeContext | None, kind: type) -> Callable[..., None]:
        if block is None:
            return lambda block, *error: _leave(block, _set_mode(mode()))
        leave = _Leave()
        # Each step is C until the mode is restored; only then `_leave` runs, which has work if blocks overlap.
        leave.close = partial(next, map(partial(_leave, block), map(_set_mode, repeat(mode()))))  # type: ignore[method-assign]
        return leave.__exit__


def _leave(block: ModeContext, token: Token[Mode]) -> None:
    """Restore what the block found, given that the mode was just replaced, which `token` remembers.

    Blocks overlap where a generator is suspended inside one. A block that the caller opened since, and that is still
    running, stays in effect; one of another generator that is now suspended ends with this block. A block that is no
    longer in effect, such as that of a suspended generator which is collected later, changes nothing.
    """
    left = token.old_value
    last = _initial_mode if left is Token.MISSING else left
    entry: Mode | None = last
    above: list[Mode] = []
    while entry is not None and entry.block is not block:
        above.append(entry)
        entry = entry.before
    restored = last if entry is None else entry.before or _initial_mode
    if entry is not None and above:
        running = _running()
        for other in reversed(above):
            if other.frame in running and other.block is not None:
                again = other.block.changed(restored)
                again.block, again.frame = other.block, other.frame
                restored = again
    if mode() is not restored:
        _set_mode(restored)
    block.closed()


def _running() -> set[int]:
    """Return the ids of the frames that are running in this thread."""
    frames, frame = set(), sys._getframe(1)
    while frame is not None:
        frames.add(id(frame))
        frame = frame.f_back  # type: ignore[assignment]
    return frames


class ModeContext:
    """Change the mode inside a `with` block, and restore what the block found afterwards.

    The mode itself keeps the previous one, so that several threads and tasks may use one `no_grad()` at once.
    """

    if TYPE_CHECKING:

        def __enter__(self) -> Any: ...

        def __exit__(self, *error: Any) -> None: ...

    else:
        __enter__ = _Enter()
        __exit__ = _Exit()

    def changed(self, before: Mode) -> Mode:
        """Return the mode inside a block that finds the mode `before`."""
        raise NotImplementedError(f"{type(self).__name__}: a subclass defines the mode inside the block")

    def opening(self) -> Any:
        """What a subclass does before the block changes the mode; the block's `as` value is returned."""

    def closed(self) -> None:
        """What a subclass does after the block has restored the mode."""


class recording(ModeContext, ContextDecorator):
    """Record operations, or not, inside a `with` block or a decorated function.

    A decorated generator or coroutine is run that way too: the setting holds while its own code runs, not while it is
    suspended and its caller goes on.
    """

    def __init__(self, on: bool) -> None:
        self._on = on

    def _recreate_cm(self) -> recording:  # a decorated function may run in several threads at once
        return recording(self._on)

    def changed(self, before: Mode) -> Mode:
        return Mode(self._on, before.time_step, before.observer, before)

    def __call__(self, function: Any) -> Any:
        if inspect.isgeneratorfunction(function):
            return _generator_function(self._recreate_cm, function)
        if inspect.isasyncgenfunction(function):
            return _async_generator_function(self._recreate_cm, function)
        if inspect.iscoroutinefunction(function):
            return _coroutine_function(self._recreate_cm, function)
        return super().__call__(function)


def _generator_function(block: Callable[[], ModeContext], function: Callable[..., Generator[Any, Any, Any]]) -> Any:
    """Return the generator function with a block around each stretch between two yields."""

    @wraps(function)
    def decorated(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        steps = function(*args, **kwargs)
        go_on, sent = steps.send, (None,)
        while True:
            try:
                with block():
                    result = go_on(*sent)
            except StopIteration as end:
                return end.value
            try:
                go_on, sent = steps.send, ((yield result),)
            except GeneratorExit:
                with block():
                    steps.close()
                raise
            except BaseException as error:
                go_on, sent = steps.throw, (error,)  # type: ignore[assignment]

    return decorated


def _async_generator_function(
    block: Callable[[], ModeContext], function: Callable[..., AsyncGenerator[Any, Any]]
) -> Any:
    """Return the asynchronous generator function with a block around each stretch between two yields."""

    @wraps(function)
    async def decorated(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        steps = function(*args, **kwargs)
        go_on, sent = steps.asend, (None,)
        while True:
            try:
                with block():
                    result = await go_on(*sent)
            except StopAsyncIteration:
                return
            try:
                go_on, sent = steps.asend, ((yield result),)
            except GeneratorExit:
                with block():
                    await steps.aclose()
                raise
            except BaseException as error:
                go_on, sent = steps.athrow, (error,)  # type: ignore[assignment]

    return decorated


def _coroutine_function(block: Callable[[], ModeContext], function: Callable[..., Any]) -> Any:
    """Return the coroutine function with a block around its run."""

    @wraps(function)
    async def decorated(*args: Any, **kwargs: Any) -> Any:
        with block():
            return await function(*args, **kwargs)

    return decorated


class no_grad(recording):
    """Record nothing inside a `with` block or a decorated function, generator or coroutine.

    >>> import minigrad as mg
    >>> x = mg.tensor([1.0], requires_grad=True)
    >>> @mg.no_grad()
    ... def predictions():
    ...     yield (x * 2).requires_grad
    >>> [(inside, (x * 2).requires_grad) for inside in predictions()]
    [(False, True)]
    """

    def __init__(self) -> None:
        super().__init__(False)


class enable_grad(recording):
    """Record operations again inside a `no_grad` block."""

    def __init__(self) -> None:
        super().__init__(True)


class time_step(ModeContext):
    """Label operations recorded inside a `with` block with the time step t, which the ledger shows. None: no label."""

    def __init__(self, t: int | None) -> None:
        if t is not None and type(t) is not int:
            check_integer("time_step", None, t=t)
        self._t = t

    def changed(self, before: Mode) -> Mode:
        return Mode(before.recording, self._t, before.observer, before)


class time_steps(ModeContext):
    """Label operations with one time step after another: `with time_steps() as label: label(0); …; label(1); …`.

    Much cheaper than a `time_step` block for each.
    """

    def changed(self, before: Mode) -> Mode:
        return Mode(before.recording, before.time_step, before.observer, before)

    def opening(self) -> Callable[[int], None]:
        return _label


def _label(t: int) -> None:
    now = mode()
    labelled = Mode(now.recording, t, now.observer, now.before)
    labelled.block, labelled.frame, labelled.ledgers = now.block, now.frame, now.ledgers
    _set_mode(labelled)
