"""A tensor's values are called the same only when they are, whoever writes, at any time and by whatever way."""

from __future__ import annotations

import copy
import gc
import pickle
import random
import sys
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

import minigrad as mg
from minigrad import nn, optim
from minigrad.engine import content_version as module, pickling, tensor as tensor_module
from minigrad.engine.content_version import ContentVersion, content_version, same_content, same_contents
from tests.support.interrupts import interrupts

from .handles import HANDLES, OPTIMIZERS, READS, SHAPE, WRITES, added, frozen


def values() -> Any:
    return np.random.default_rng(3).uniform(1, 2, SHAPE).astype(np.float32)


def frozen_parameter() -> mg.Tensor:
    p = mg.Parameter(values())
    frozen(p)
    assert p.node is None
    return p


KINDS: dict[str, Callable[[], mg.Tensor]] = {
    "leaf": lambda: mg.tensor(values(), requires_grad=True),
    "Parameter": lambda: mg.Parameter(values()),
    "frozen": frozen_parameter,
}
each_kind = pytest.mark.parametrize("kind", KINDS)


def content(x: mg.Tensor) -> bytes:
    return x._array.tobytes()


# What is read stays known to be the same


@each_kind
@pytest.mark.parametrize("read", READS)
def test_reading_changes_nothing(kind: str, read: str) -> None:
    p = KINDS[kind]()
    version, before = content_version(p), content(p)
    READS[read](p)
    assert content(p) == before
    assert same_content(p, version) is True


@each_kind
@pytest.mark.parametrize("write", WRITES)
def test_a_write_is_seen(kind: str, write: str) -> None:
    p = KINDS[kind]()
    version, before = content_version(p), content(p)
    WRITES[write](p)
    if content(p) == before:
        assert kind != "Parameter"  # an optimizer skips what is frozen; a leaf belongs to no module
        assert same_content(p, version) is True
    else:
        assert same_content(p, version) is not True
        assert same_content(p, content_version(p)) is not False


@each_kind
@pytest.mark.parametrize("write", [w for w in WRITES if w.startswith(("a step", "p.", "load"))])
def test_after_the_librarys_own_write_nothing_needs_to_be_compared(kind: str, write: str) -> None:
    p = KINDS[kind]()
    for _ in range(3):
        WRITES[write](p)
        version = content_version(p)
        assert same_content(p, version) is True


@each_kind
@pytest.mark.parametrize("handle", HANDLES)
def test_a_write_by_a_handle_is_seen(kind: str, handle: str) -> None:
    if handle.startswith("torch"):
        pytest.importorskip("torch")
    p = KINDS[kind]()
    first, before = content_version(p), content(p)
    assert same_content(p, first) is True
    write = HANDLES[handle](p)
    for _ in range(2):  # also one that comes long after the version was taken
        version, taken = content_version(p), content(p)
        write()
        assert content(p) != taken
        assert same_content(p, version) is not True
    assert content(p) != before
    assert same_content(p, first) is not True
    gc.collect()
    assert same_content(p, content_version(p)) is None


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, *(lambda x, k=k: pickle.loads(pickle.dumps(x, k)) for k in range(6))]
)
@pytest.mark.parametrize("size", [3, 3000])
@pytest.mark.parametrize("first", [0, 1])
def test_an_array_that_is_copied_together_with_the_tensor(copied: Any, size: int, first: int) -> None:
    """The copies share memory as the two did, so whoever has the one can write into the other."""
    p = mg.Parameter(np.ones((size, 2), np.float32))
    pair = copied([p, p.data] if first == 0 else [p.data, p])
    twin, array = pair[first], pair[1 - first]
    version, before = content_version(twin), content(twin)
    array += 1
    assert content(twin) == before or same_content(twin, version) is not True


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("size", [3, 3000])
def test_unpickled_parameters_are_known(protocol: int, size: int) -> None:
    """They have memory of their own, and share it as they did."""
    p = mg.Parameter(np.ones((size, 2), np.float32))
    buffers: list[Any] = []
    out_of_band: dict[str, Any] = {"buffer_callback": buffers.append} if protocol == 5 else {}
    twin, other_name = pickle.loads(pickle.dumps([p, copy.copy(p)], protocol, **out_of_band), buffers=buffers)
    version = content_version(twin)
    assert same_content(twin, version) is True
    with mg.no_grad():
        other_name += 1
    assert twin.numpy().max() == 2
    assert p.numpy().max() == 1
    assert same_content(twin, version) is False


# What is never known


@pytest.mark.parametrize(
    "make",
    [
        lambda a: mg.asarray(a),
        lambda a: mg.Tensor(a),
        lambda a: mg.from_dlpack(a),
        lambda a: mg.Parameter(a) * 1.0,
        lambda a: mg.Parameter(a).detach(),
        lambda a: mg.Parameter(a)[:1],
        lambda a: nn.Module.__init__(n := nn.Linear(2, 2, rng=0)) or n.weight * a[:2, :2],
    ],
)
def test_other_tensors_are_to_be_compared(make: Any) -> None:
    array = np.ones(SHAPE, np.float32)
    x = make(array)
    assert same_content(x, content_version(x)) is None


def test_a_device(xp: Any) -> None:
    p = mg.Parameter(values())
    version = content_version(p)
    assert same_content(p, version) is (True if xp.name == "numpy" else None)
    with mg.no_grad():
        p += 1
    assert same_content(p, version) is False


def test_another_array_is_never_the_same() -> None:
    """Not even at the same address: the version knows the array itself, without keeping it alive."""
    p = mg.Parameter(values())
    version = content_version(p)
    frozen(p)
    array = version.array
    for _ in range(20):
        WRITES["load_state_dict"](p)  # a frozen parameter gets another array
        assert same_content(p, version) is False
    assert array() is None


def test_writes_into_a_neighbour() -> None:
    big = np.zeros((4, *SHAPE), np.float32)
    p, q = mg.Parameter(values()), mg.Parameter(values())
    p.data, q.data = big[0], big[1]
    version = content_version(p)
    with mg.no_grad():
        q += 1
    assert same_content(p, version) is not True
    added(big[2])()
    assert same_content(p, content_version(p)) is None


def test_several_at_once() -> None:
    ps = [mg.Parameter(values()) for _ in range(3)]
    versions = [content_version(p) for p in ps]
    assert same_contents(ps, versions) is True
    ps[0].data[0] = 1
    assert same_contents(ps, versions) is None
    WRITES["p.__iadd__"](ps[2])
    assert same_contents(ps, versions) is False
    assert same_contents([], []) is True


# Writes that fail, are interrupted, or come from another thread


@pytest.mark.parametrize("write", ["p.__imul__", "load_state_dict", *(f"a step of {name}" for name in OPTIMIZERS)])
def test_an_interrupted_write_is_seen(write: str) -> None:
    p: Any = None
    version: Any = None

    def action() -> None:
        nonlocal p, version
        p = mg.Parameter(values())
        version = content_version(p)
        WRITES[write](p)

    changed = 0
    for _ in interrupts(action, "minigrad/in_place", "nn/module", "minigrad/optim", "engine/tensor", "mutation"):
        if p is not None and version.array() is p._array and content(p) != values().tobytes():
            changed += 1
            assert same_content(p, version) is False
    assert changed or write.startswith("a step")  # where a step is put back


def test_an_interrupted_exchange_of_the_array_is_seen() -> None:
    """The user's array is known as theirs before the parameter has it."""
    p: Any = None
    own = values()

    def action() -> None:
        nonlocal p
        p = mg.Parameter(values())
        p.data = own

    for _ in interrupts(action, "engine/tensor", "mutation"):
        if p is not None and p._array is own:
            assert same_content(p, content_version(p)) is None
        own = values()
    action()
    assert same_content(p, content_version(p)) is None


class FailsLater(optim.Optimizer):
    """Writes into one part of a large parameter, and fails at the next."""

    def update(self, xp: Any, w: Any, g: Any, s: Any, t: int, o: Any) -> None:
        if w[0] == 2:
            raise RuntimeError("the second part")
        w += 1


def test_half_a_step_is_seen() -> None:
    start = np.zeros(1 << 20, np.float32)
    start[len(start) // 2 :] = 2
    p = mg.Parameter(start)
    p.grad = mg.tensor(start)
    version = content_version(p)
    with pytest.raises(RuntimeError, match="the second part"):
        FailsLater([p]).step()
    assert 0 < np.count_nonzero(p.numpy() != start) <= len(start) // 2
    assert same_content(p, version) is False


def test_a_write_on_another_thread_while_the_values_are_read() -> None:
    p = mg.Parameter(values())
    version = content_version(p)
    thread = threading.Thread(target=WRITES["p.__iadd__"], args=(p,))
    thread.start()
    thread.join()
    assert same_content(p, version) is False


# Random sequences of all of these


class Run:
    """Actions on three parameters, two of which share an array; versions are taken at any time, and all are asked."""

    def __init__(self) -> None:
        first = mg.Parameter(values())
        self.tensors: list[Any] = [first, mg.Parameter(values()), copy.copy(first)]
        self.held: list[Callable[[], Any]] = []
        self.alive: list[Any] = []
        self.taken: list[tuple[Any, ContentVersion, bytes]] = []
        self.known = 0

    def act(self, action: str, k: int) -> None:
        p = self.tensors[k % 3]
        if action == "take":
            self.taken.append((p, content_version(p), content(p)))
        elif action == "use a handle":
            if self.held:
                with np.errstate(all="ignore"):
                    self.held[k % len(self.held)]()
        elif action == "new":
            self.tensors[k % 2 + 1] = mg.Parameter(values())
        elif action in HANDLES:
            self.alive.append(p._array)  # for addresses
            self.held.append(HANDLES[action](p))
        else:
            # `to` leaves the other name of a parameter on a node that has no gradient any more
            with np.errstate(all="ignore"), suppress(mg.GraphError):
                {**WRITES, **READS, "freeze": frozen}[action](p)

    def wrong(self) -> str | None:
        for p, version, before in self.taken:
            if same_content(p, version) is True:
                self.known += 1
                if content(p) != before:
                    return f"{before!r} became {content(p)!r}"
        return None


NAMES = ["take", "use a handle", "new", "freeze", *HANDLES, *WRITES, *READS]
NAMES.remove("torch by DLPack")  # it is tested above, where torch is


def actions() -> Any:
    kinds = (["take"], ["use a handle"], ["new", "freeze"], NAMES[4 : 3 + len(HANDLES)], list(WRITES), list(READS))
    return st.tuples(st.one_of(*map(st.sampled_from, kinds)), st.integers(0, 11))


@given(st.lists(actions(), max_size=30))
def test_the_same_is_never_said_of_what_changed(program: list[tuple[str, int]]) -> None:
    run = Run()
    for action, k in program:
        run.act(action, k)
        assert run.wrong() is None


def drawn(seed: int) -> Run:
    """A run of a random program, up to the first wrong answer."""
    rng, run = random.Random(seed), Run()
    for _ in range(30):
        action = rng.choice(["take", "take", "use a handle", rng.choice(NAMES), rng.choice(list(WRITES))])
        run.act(action, rng.randrange(12))
        if run.wrong():
            break
    return run


def test_random_programs() -> None:
    runs = [drawn(seed) for seed in range(300)]
    assert not [seed for seed, run in enumerate(runs) if run.wrong()]
    assert sum(run.known > 0 for run in runs) > 100  # the answer is not always "compare"


FAULTS: dict[str, tuple[Any, str, Any]] = {
    "writes are not noted": (tensor_module, "note_write", lambda array: 0),
    "what is exposed is not noted": (tensor_module, "expose", lambda array, checksum: None),
    "views that are handed out are not noted": (tensor_module, "hand_out", lambda array, to: None),
    "nor buffers of pickles": (pickling, "hand_out", lambda array, to: None),
    "the array may be another": (sys.modules[__name__], "same_content", lambda p, version: _of_any_array(p, version)),
}


def _of_any_array(p: mg.Tensor, version: ContentVersion) -> bool | None:
    version.array = weakref.ref(p._array)
    return module.same_content(p, version)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*FAULTS[fault])
    assert any(drawn(seed).wrong() for seed in range(3000))
