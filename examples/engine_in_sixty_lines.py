"""minigrad's engine in sixty lines: a node, a gradient pool, five operations and the backward pass.

Run it to see a recurrent net's gradients beside minigrad's: python examples/engine_in_sixty_lines.py
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

serials = itertools.count()


class Node:
    """One entry of the tape: a value, the nodes it was computed from, and one rule for each of these parents."""

    def __init__(self, value: Any, parents: Sequence[Any] = (), rules: Sequence[Any] = ()) -> None:
        self.value, self.parents, self.rules = np.asarray(value, float), parents, rules
        self.serial = next(serials)  # grows as the tape is written
        self.grad: Any = None


class Pool:
    """The gradient pool of a node: the sum of what each use of its value contributes."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.total = np.zeros(shape)

    def add(self, g: Any) -> None:
        g = g.sum(axis=tuple(range(g.ndim - self.total.ndim)))  # the axes along which the value was broadcast
        self.total += g.sum(axis=tuple(k for k, n in enumerate(self.total.shape) if n < g.shape[k]), keepdims=True)


def operation(function: Callable[..., Any]) -> Callable[..., Node]:
    """Turn `function(*arrays) -> (value, rule, ...)`, one rule per array, into an operation on nodes."""

    def recorded(*inputs: Any) -> Node:
        nodes = [x if isinstance(x, Node) else Node(x) for x in inputs]
        value, *rules = function(*(node.value for node in nodes))
        return Node(value, nodes, rules)

    return recorded


@operation
def add(a: Any, b: Any) -> Any:
    return a + b, lambda g: g, lambda g: g


@operation
def multiply(a: Any, b: Any) -> Any:
    return a * b, lambda g: g * b, lambda g: g * a


@operation
def matmul(a: Any, b: Any) -> Any:
    return a @ b, lambda g: g @ b.T, lambda g: a.T @ g


@operation
def tanh(x: Any) -> Any:
    y = np.tanh(x)
    return y, lambda g: g * (1 - y * y)


@operation
def total(x: Any) -> Any:
    return x.sum(), lambda g: np.full(x.shape, g)


def backward(output: Node) -> None:
    """Set `.grad` of every node that the scalar `output` depends on, from the newest node to the oldest."""
    nodes: dict[int, Node] = {}
    stack = [output]
    while stack:  # no recursion: a long sequence makes a deep graph
        node = stack.pop()
        if node.serial not in nodes:
            nodes[node.serial] = node
            stack.extend(node.parents)
    pools = {serial: Pool(node.value.shape) for serial, node in nodes.items()}
    pools[output.serial].add(np.ones(()))
    for serial in sorted(nodes, reverse=True):  # each node comes after all of its uses: its pool is complete
        node = nodes[serial]
        node.grad = pools[serial].total
        for parent, rule in zip(node.parents, node.rules):
            pools[parent.serial].add(rule(node.grad))


def main() -> None:
    import minigrad as mg

    rng = np.random.default_rng(0)
    xs, targets = rng.standard_normal((6, 2, 3)), rng.standard_normal((6, 2, 4))
    values = {"Wc": rng.standard_normal((3, 4)), "Wr": rng.standard_normal((4, 4)), "b": rng.standard_normal(4)}

    # A recurrent net: the same three nodes at each of the six steps, so that their pools sum over time.
    nodes = {name: Node(value) for name, value in values.items()}
    h, loss = Node(np.zeros((2, 4))), Node(0.0)
    for x, target in zip(xs, targets):
        h = tanh(add(add(matmul(x, nodes["Wc"]), matmul(h, nodes["Wr"])), nodes["b"]))
        error = add(h, -target)
        loss = add(loss, total(multiply(error, error)))
    backward(loss)

    # The same by minigrad.
    leaves = {name: mg.tensor(value, requires_grad=True) for name, value in values.items()}
    state, divergence = mg.tensor(np.zeros((2, 4))), mg.tensor(np.float64(0))
    for x, target in zip(xs, targets):
        state = mg.tanh(x @ leaves["Wc"] + state @ leaves["Wr"] + leaves["b"])
        divergence = divergence + ((state - target) ** 2).sum()
    for name, g in zip(leaves, mg.gradients(divergence, list(leaves.values()))):
        assert g is not None
        print(f"d{name}: largest difference from minigrad {np.abs(nodes[name].grad - g.numpy()).max():.1e}")


if __name__ == "__main__":
    main()
