"""Trees: taken apart and put together again they are what they were, whatever they are made of."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict, defaultdict, namedtuple
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

import minigrad as mg
from minigrad import nn
from minigrad.pytree import flatten_with_paths

Point = namedtuple("Point", ["x", "y"])


@dataclasses.dataclass(frozen=True)
class Layer:
    weight: Any
    bias: Any
    name: str = dataclasses.field(default="layer", metadata={"static": True})


@dataclasses.dataclass
class Slotted:
    __slots__ = ("a", "b")
    a: Any
    b: Any


class Pair:
    def __init__(self, left: Any, right: Any, tag: str) -> None:
        self.left, self.right, self.tag = left, right, tag

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pair) and vars(self) == vars(other)


mg.register_pytree(Pair, lambda p: ((p.left, p.right), p.tag), lambda tag, ends: Pair(*ends, tag))

numbers = st.one_of(st.floats(allow_nan=False), st.integers(), st.text(max_size=3), st.booleans())
keys = st.one_of(st.text(max_size=3), st.integers(0, 9))


def nested(children: Any) -> Any:
    return st.one_of(
        st.lists(children, max_size=3),
        st.tuples(children, children),
        st.just(()),
        st.dictionaries(keys, children, max_size=3),
        st.dictionaries(keys, children, max_size=3).map(OrderedDict),
        st.dictionaries(keys, children, max_size=3).map(lambda d: defaultdict(list, d)),
        st.tuples(children, children).map(lambda ends: Point(*ends)),
        st.tuples(children, children, st.text(max_size=2)).map(lambda parts: Layer(*parts)),
        st.tuples(children, children).map(lambda ends: Slotted(*ends)),
        st.tuples(children, children, st.text(max_size=2)).map(lambda parts: Pair(*parts)),
    )


trees = st.recursive(st.one_of(numbers, st.none()), nested, max_leaves=12)


@given(trees)
def test_there_and_back(tree: Any) -> None:
    leaves, structure = mg.tree_flatten(tree)
    assert structure.num_leaves == len(leaves)
    again = mg.tree_unflatten(structure, leaves)
    assert again == tree
    assert type(again) is type(tree)
    assert mg.tree_flatten(again) == (leaves, structure)
    assert hash(mg.tree_flatten(again)[1]) == hash(structure)


@given(trees)
def test_map_keeps_the_structure_and_the_order(tree: Any) -> None:
    leaves, structure = mg.tree_flatten(tree)
    count = iter(range(len(leaves)))
    numbered = mg.tree_map(lambda leaf: next(count), tree)
    assert mg.tree_flatten(numbered) == (list(range(len(leaves))), structure)
    pairs: list[Any] = []
    mg.tree_map(lambda leaf, n: pairs.append((leaf, n)), tree, numbered)
    assert pairs == list(zip(leaves, range(len(leaves))))


@given(trees)
def test_paths_lead_to_the_leaves(tree: Any) -> None:
    for path, leaf in flatten_with_paths(tree)[0]:
        if "Pair" not in repr(mg.tree_flatten(tree)[1]):
            assert eval(f"tree{path}", {"tree": tree}) is leaf


def test_a_dicts_order_does_not_count_and_is_kept() -> None:
    a, b = {"y": 1, "x": 2}, {"x": 2, "y": 1}
    assert mg.tree_flatten(a) == mg.tree_flatten(b)
    assert list(mg.tree_map(lambda n: n, a)) == ["y", "x"]
    assert mg.tree_map(lambda p, q: (p, q), a, b) == {"y": (1, 1), "x": (2, 2)}


def test_keys_of_several_kinds() -> None:
    tree = {1: "one", "a": "letter", (2,): "tuple"}
    leaves, structure = mg.tree_flatten(tree)
    assert mg.tree_unflatten(structure, leaves) == tree


def test_structures_that_differ() -> None:
    different = [
        [1],
        (1,),
        {"a": 1},
        {"b": 1},
        [1, 2],
        [[1]],
        1,
        None,
        Point(1, None),
        Layer(1, None),
        Pair(1, None, ""),
    ]
    different += [Layer(1, None, "other"), Pair(1, None, "t"), OrderedDict(a=1), defaultdict(int, a=1)]
    structures = [mg.tree_flatten(tree)[1] for tree in different]
    for k, one in enumerate(structures):
        assert [one == other for other in structures] == [j == k for j in range(len(structures))]
    assert structures[0] != "[*]"


def test_static_data_without_a_single_truth() -> None:
    first, second = Pair(1, 2, np.ones(2)), Pair(1, 2, np.ones(2))  # type: ignore[arg-type]
    assert mg.tree_flatten(first)[1] == mg.tree_flatten(first)[1]
    assert mg.tree_flatten(first)[1] != mg.tree_flatten(second)[1]


def test_how_structures_look() -> None:
    tree = [(1,), {"a": None}, Point(1, [2]), OrderedDict(k=1), defaultdict(int, k=1), Pair(1, 2, ""), Layer(1, 2)]
    assert repr(mg.tree_flatten(tree)[1]) == (
        "TreeDef([(*,), {'a': None}, Point(x=*, y=[*]), OrderedDict({'k': *}), defaultdict({'k': *}), Pair(*, *), "
        "Layer(weight=*, bias=*)])"
    )


@pytest.mark.parametrize(
    ("tree", "other", "message"),
    [
        ([1, 2], [1], r"tree_map: rest\[0\]: got \[\*\], want \[\*, \*\]"),
        ({"a": [1, (2,)]}, {"a": [1, [2]]}, r"tree_map: rest\[0\]\['a'\]\[1\]: got \[\*\], want \(\*,\)"),
        ([[1]], [3], r"tree_map: rest\[0\]\[0\]: got int, want \[\*\]"),
        (Layer(1, [2]), Layer(1, 2), r"tree_map: rest\[0\].bias: got int, want \[\*\]"),
    ],
)
def test_map_says_where_trees_differ(tree: Any, other: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mg.tree_map(lambda a, b: a, tree, other)


def test_the_wrong_number_of_leaves() -> None:
    with pytest.raises(ValueError, match=r"tree_unflatten: leaves: got 1, want 2 for TreeDef\(\[\*, \*\]\)"):
        mg.tree_unflatten(mg.tree_flatten([1, 2])[1], [1])


def test_registering() -> None:
    for known in (list, dict, Pair, mg.Tensor, nn.Linear, type(None)):
        with pytest.raises(ValueError, match="is already a node of trees"):
            mg.register_pytree(known, lambda t: ((), None), lambda data, children: None)
    with pytest.raises(TypeError, match="register_pytree: kind: got int, want a class"):
        mg.register_pytree(3, lambda t: ((), None), lambda data, children: None)  # type: ignore[arg-type]


# Modules


class Tied(nn.Module):
    """Two layers that share a parameter, one of which is also held in a private list and refers back."""

    def __init__(self) -> None:
        self.first = nn.Linear(2, 2)
        self.second = nn.Linear(2, 2)
        self.second.weight = self.first.weight
        self._listed = [self.first, self.second]
        self._by_name = {"first": self.first}
        self.first._above = self
        self.size = 2

    def forward(self, x: Any) -> Any:
        for layer in self._listed:
            x = layer(x)
        return x


def test_a_module_is_the_tree_of_its_parameters() -> None:
    module = Tied()
    leaves, structure = mg.tree_flatten(module)
    assert [id(leaf) for leaf in leaves] == [id(p) for p in module.parameters()]
    assert [path for path, _ in flatten_with_paths(module)[0]] == [".first.weight", ".first.bias", ".second.bias"]
    assert repr(structure) == "TreeDef(Tied(first.weight=*, first.bias=*, second.bias=*))"
    assert mg.tree_flatten(Tied())[1] == structure
    assert mg.tree_flatten(nn.Linear(2, 2))[1] != mg.tree_flatten(nn.Linear(2, 2, bias=False))[1]


def test_a_module_put_together_is_a_copy_that_holds_together() -> None:
    module = Tied()
    twin = mg.tree_map(lambda p: p.detach() * 2.0, module)
    assert type(twin) is Tied
    assert twin is not module
    assert twin.size == 2
    assert twin.first.weight is twin.second.weight
    assert twin._listed == [twin.first, twin.second]
    assert twin._by_name["first"] is twin.first
    assert twin.first._above is twin
    assert module._listed == [module.first, module.second]
    for p, q in zip(module.parameters(), twin.parameters()):
        np.testing.assert_array_equal(q.numpy(), 2 * p.numpy())
        assert isinstance(q, mg.Parameter)
        assert q.requires_grad
        assert q.is_leaf
    x = np.ones((1, 2), np.float32)
    twin(x).sum().backward()
    assert twin.first.weight.grad is not None
    assert module.first.weight.grad is None
    mg.optim.SGD(twin.parameters(), lr=0.1).step()


def test_what_is_put_in_a_parameters_place() -> None:
    module = nn.Linear(2, 1, dtype="float64")
    module.requires_grad_(False)
    frozen = mg.tree_map(lambda p: p.detach() + 1.0, module)
    assert [p.requires_grad for p in frozen.parameters()] == [False, False]
    module.requires_grad_(True)
    computed = mg.tree_map(lambda p: p * 2.0, module)
    computed(np.ones((1, 2))).sum().backward()
    assert module.weight.grad is not None
    assert module.weight.grad.tolist() == [[2.0, 2.0]]
    shapes = mg.tree_map(lambda p: p.shape, module)
    assert (shapes.weight, shapes.bias) == ((1, 2), (1,))
    whole = mg.tree_unflatten(mg.tree_flatten(module)[1], [np.ones((1, 2)), 3.0])
    assert (whole.weight.dtype, whole.bias.dtype) == (np.float64, np.float64)
    same = mg.tree_map(lambda p: p, module)
    assert same.weight is module.weight
    assert mg.tree_unflatten(mg.tree_flatten(module)[1], [1, 2], plain=True) == {"weight": 1, "bias": 2}


def test_a_dict_by_name_stands_beside_a_module() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    moved = mg.tree_map(lambda p, g: p.detach() - g, [module], [module.state_dict()])[0]
    assert all(not p.numpy().any() for p in moved.parameters())
    halved = mg.tree_map(lambda p, q: q * 0.5, module, moved)
    assert not halved[0].weight.numpy().any()
    with pytest.raises(ValueError, match=r"tree_map: rest\[0\]: got \{'weight': \*\}, want Sequential\(0.weight=\*"):
        mg.tree_map(lambda p, q: p, module, {"weight": 1})
    with pytest.raises(ValueError, match=r"tree_map: rest\[0\]: got \[\*\], want Sequential"):
        mg.tree_map(lambda p, q: p, module, [1])


def test_a_module_that_changed_since() -> None:
    module = nn.Linear(2, 1)
    leaves, structure = mg.tree_flatten(module)
    module.bias = None
    with pytest.raises(ValueError, match=r"tree_unflatten: Linear: its parameters were \['weight', 'bias'\]"):
        mg.tree_unflatten(structure, leaves)
