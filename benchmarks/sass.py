"""Read a disassembled kernel of sm_90, and find the instructions that one thread goes through."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

LABEL = re.compile(r"^(\.L_\w+|\.text\.\w+):$")
INSTRUCTION = re.compile(r"^/\*([0-9a-f]{4,})\*/\s+(?:(@!?U?P\w+)\s+)?([A-Z][\w.]*)\s*(.*?)\s*;")
TARGET = re.compile(r"`\((\.L_\w+)\)")
ARITHMETIC = re.compile(r"(FADD|FMUL|FFMA|MUFU|DADD|DMUL|DFMA)\b")


@dataclass(frozen=True)
class Instruction:
    """One instruction: its address, its predicate such as "@!P0" or "", its name such as "LDG.E", its operands."""

    address: int
    predicate: str
    name: str
    operands: str

    def __str__(self) -> str:
        return f"{self.address:05x} {self.predicate:>5} {self.name} {self.operands}".rstrip()


@dataclass(frozen=True)
class Kernel:
    """A kernel's instructions in the order of their addresses, and for each the places of those that may follow it."""

    instructions: Sequence[Instruction]
    successors: Sequence[Sequence[int]]


def read_kernel(listing: str, name: str) -> Kernel:
    """Read one kernel of what `nvdisasm -c` prints.

    Raises:
        ValueError: the listing has no such kernel, or jumps to a label that it has not.
    """
    instructions: list[Instruction] = []
    labels: dict[str, int] = {}
    inside = False
    for line in map(str.strip, listing.splitlines()):
        if line.startswith(".section"):
            inside = f".text.{name}," in line
        elif inside and (found := LABEL.match(line)):
            labels[found[1]] = len(instructions)
        elif inside and (found := INSTRUCTION.match(line)):
            instructions.append(Instruction(int(found[1], 16), found[2] or "", found[3], found[4]))
    if not instructions:
        raise ValueError(f"read_kernel: name: got {name!r}, which the listing does not have")
    return Kernel(instructions, [successors(instructions, labels, k) for k in range(len(instructions))])


def successors(instructions: Sequence[Instruction], labels: dict[str, int], k: int) -> list[int]:
    one = instructions[k]
    follows = [k + 1] if k + 1 < len(instructions) else []
    always = not one.predicate or one.predicate in ("@PT", "@UPT")
    kind = one.name.split(".")[0]
    if kind in ("EXIT", "RET"):
        return [] if always else follows
    if kind == "BRA":
        target = TARGET.search(one.operands)
        if target is None or target[1] not in labels:
            raise ValueError(f"read_kernel: {one}: a jump to nowhere")
        # BRA.DIV goes where lanes of a warp have parted, and "BRA P0, ..." has a second predicate.
        alone = always and one.operands.startswith("`") and "DIV" not in one.name
        return [labels[target[1]], *([] if alone else follows)]
    return follows


def usual_path(kernel: Kernel, wanted: re.Pattern[str]) -> list[Instruction]:
    """Return the instructions of one path through the kernel, on which no instruction comes twice.

    Of all paths it has the most floating-point additions, products and functions, of those the most instructions whose
    name is wanted, and of those the fewest instructions. So it passes through the gates and not around them as padding
    does, and around loads of what may be null. It follows no call (a division's slow path), no jump back, and none
    that only parted lanes of a warp take.
    """
    instructions = kernel.instructions
    best = [(0, 0, 0)] * len(instructions)
    after = [-1] * len(instructions)
    for k, following in backwards(kernel):
        (done, found, length), after[k] = max(((best[n], n) for n in following), default=((0, 0, 0), -1))
        name = instructions[k].name
        best[k] = done + bool(ARITHMETIC.match(name)), found + bool(wanted.match(name)), length - 1
    path, k = [], 0
    while k >= 0:
        path.append(instructions[k])
        k = after[k]
    return path


def backwards(kernel: Kernel) -> Iterator[tuple[int, list[int]]]:
    """Yield every instruction that can be reached without a call, after all that follow it, with those.

    What follows by a jump back to an instruction that is under way is left out.
    """
    called = [one.name.startswith("CALL") for one in kernel.instructions]
    under_way, done = {0}, set()
    stack = [(0, iter(kernel.successors[0]))]
    while stack:
        k, rest = stack[-1]
        for n in rest:
            if n not in under_way and n not in done and not called[n]:
                under_way.add(n)
                stack.append((n, iter(kernel.successors[n])))
                break
        else:
            stack.pop()
            under_way.remove(k)
            done.add(k)
            yield k, [n for n in kernel.successors[k] if n in done]
