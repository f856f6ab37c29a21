"""Modes under generators: suspended, collected, and decorated ones, and coroutines."""

from __future__ import annotations

import asyncio
import contextvars
import gc
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

import minigrad as mg
from minigrad.engine.modes import mode
from tests.engine.leaves import leaf
from tests.engine.test_modes import in_thread


def now() -> tuple[bool, int | None, Any]:
    return mode().recording, mode().time_step, mode().observer


def suspended(block: Any) -> Iterator[tuple[bool, int | None, Any]]:
    with block:
        yield now()
        yield now()


def test_a_caller_finds_its_mode_again_behind_a_block_in_which_a_generator_was_suspended() -> None:
    with mg.no_grad():
        steps = suspended(mg.enable_grad())
        assert next(steps)[0]
    assert now() == (True, None, None)
    with mg.time_step(1):
        others = suspended(mg.no_grad())
        next(others)
    assert now() == (True, None, None)
    del steps, others  # what is collected later changes nothing
    gc.collect()
    assert now() == (True, None, None)


def test_a_suspended_no_grad_that_is_collected_does_not_turn_recording_off() -> None:
    """torch does turn it off: the collected block restores what it found, the caller's `no_grad`."""
    with mg.no_grad():
        steps = suspended(mg.time_step(1))
        next(steps)
    del steps
    assert now() == (True, None, None)
    steps = suspended(mg.no_grad())
    next(steps)
    steps.close()
    assert now() == (True, None, None)


@pytest.mark.parametrize("end", ["goes on", "is closed"])
@pytest.mark.parametrize("inside", [mg.no_grad, mg.enable_grad, lambda: mg.time_step(1), mg.profile])
@pytest.mark.parametrize("outside", [mg.no_grad, mg.enable_grad, lambda: mg.time_step(2), mg.profile])
def test_a_generator_that_goes_on_leaves_its_callers_block_alone(inside: Any, outside: Any, end: str) -> None:
    with outside():
        alone = now()[:2]
    steps = suspended(inside())
    next(steps)
    with outside() as observer:
        if end == "goes on":
            list(steps)
        else:
            steps.close()
        assert now() == (*alone, observer)
    assert now() == (True, None, None)


def test_a_generator_that_ends_in_another_thread_leaves_that_threads_mode_alone() -> None:
    for block in (mg.no_grad(), mg.time_step(5)):
        steps = suspended(block)
        contextvars.copy_context().run(next, steps)
        assert in_thread(lambda steps=steps: (list(steps), now())[1]) == (True, None, None)
        steps = suspended(block)
        contextvars.copy_context().run(next, steps)
        with mg.no_grad():
            steps.close()
            assert now() == (False, None, None)
        assert now() == (True, None, None)


MAKE: dict[str, Any] = {
    "on": mg.enable_grad,
    "off": mg.no_grad,
    "one": lambda: mg.time_step(1),
    "two": lambda: mg.time_step(2),
}


@given(st.lists(st.tuples(st.sampled_from(sorted(MAKE)), st.lists(st.integers(0, 3), max_size=4)), max_size=6))
@settings(max_examples=25, deadline=None)
def test_however_blocks_and_generators_overlap_the_mode_is_that_of_the_open_blocks(script: Any) -> None:
    """The caller opens nested blocks and resumes four generators in between; a list of open blocks is the model."""
    generators = [suspended(make()) for make in MAKE.values()]
    resumed = [0] * len(generators)
    open_blocks: list[tuple[Any, str]] = []

    def check() -> None:
        recording, t = True, None
        for _, kind in open_blocks:
            recording = {"on": True, "off": False}.get(kind, recording)
            t = {"one": 1, "two": 2}.get(kind, t)
        assert now() == (recording, t, None)

    def play(rest: list[Any]) -> None:
        if not rest:
            return
        (kind, moves), *rest = rest
        mine = (object(), kind)
        with MAKE[kind]():
            open_blocks.append(mine)
            for k in moves:
                next(generators[k], None)
                resumed[k] += 1
                if resumed[k] == 1:
                    open_blocks.append((k, list(MAKE)[k]))
                elif resumed[k] == 3 and (own := (k, list(MAKE)[k])) in open_blocks:
                    place = open_blocks.index(own)  # with it end those of other suspended generators above it
                    open_blocks[place:] = [block for block in open_blocks[place:] if type(block[0]) is object]
                check()
            play(rest)
            check()
        del open_blocks[open_blocks.index(mine) :]
        check()

    play(script)
    generators.clear()
    assert now() == (True, None, None)


# Decorated generators and coroutines


def test_no_grad_over_a_generator_function_holds_while_its_own_code_runs() -> None:
    x = leaf([1.0])
    heard: list[Any] = []

    @mg.no_grad()
    def steps(n: int) -> Iterator[bool]:
        try:
            for _ in range(n):
                heard.append((yield (x * 2).requires_grad))
        except KeyError:
            yield mode().recording
        finally:
            heard.append(mode().recording)
        return "the end"

    run: Any = steps(3)
    assert next(run) is False
    assert mode().recording  # the caller's own
    assert run.send("a") is False
    assert run.throw(KeyError) is False
    with pytest.raises(StopIteration) as end:
        next(run)
    assert (heard, end.value.value) == (["a", False], "the end")
    run = steps(2)
    next(run)
    run.close()
    assert heard[-1] is False
    with mg.no_grad():
        assert not any(steps(2))
    with pytest.raises(TypeError):
        steps("no number").send(None)
    assert now() == (True, None, None)


def test_no_grad_over_coroutines_and_asynchronous_generators() -> None:
    x = leaf([1.0])

    @mg.no_grad()
    async def coroutine() -> bool:
        await asyncio.sleep(0)
        return bool((x * 2).requires_grad)

    @mg.no_grad()
    async def generator() -> AsyncIterator[bool]:
        for _ in range(2):
            await asyncio.sleep(0)
            yield (x * 2).requires_grad

    async def both() -> list[bool]:
        seen = [await coroutine(), mode().recording]
        async for value in generator():
            seen += [value, mode().recording]
        opened = generator()
        seen.append(await opened.__anext__())
        await opened.aclose()
        return [*seen, mode().recording]

    assert asyncio.run(both()) == [False, True, False, True, False, True, False, True]
