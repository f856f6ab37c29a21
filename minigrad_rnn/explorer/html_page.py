"""html_page puts a recording into one page: a head in JSON, and arrays that the page decodes when it shows them."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from minigrad.debug.one_line import one_line
from minigrad.debug.visualize.self_contained_page import package_text, self_contained_page

from .equations import explained
from .recording import Pool, Recording

Array = Any
SCRIPTS = ("numbers.js", "net.js", "arrows.js", "details.js", "pools.js", "heat_map.js", "player.js")
"""The page's programs, in the order in which they run."""


class _Arrays:
    """Arrays as elements of the page, each with a number."""

    def __init__(self) -> None:
        self.elements: list[str] = []

    def add(self, array: Array | None) -> int | None:
        """Take an array in, and return its number; None for None."""
        if array is None:
            return None
        a = np.asarray(array)
        if a.dtype.kind in "iub":
            a = a.astype("<i4")
        elif a.dtype.itemsize < 4:
            a = a.astype("<f4")  # a float16 is exact in it
        else:
            a = a.astype("<f4" if a.dtype.itemsize == 4 else "<f8")
        kind, number = {"i4": "Int32", "f4": "Float32", "f8": "Float64"}[a.dtype.str[1:]], len(self.elements)
        text = base64.b64encode(np.ascontiguousarray(a).tobytes()).decode("ascii")
        shape = ",".join(map(str, a.shape))
        self.elements.append(
            f'<script type="application/octet-stream" id="a{number}" data-kind="{kind}" data-shape="{shape}">'
            f"{text}</script>"
        )
        return number


def html_page(recording: Recording, title: str, model: str) -> str:
    """Return the page; `title` and `model` are shown as text, whatever they contain."""
    arrays = _Arrays()
    head = _head(recording, one_line(title), one_line(model), arrays)
    read = {name: package_text("minigrad_rnn.explorer", f"page/{name}") for name in ("body.html", "page.css", *SCRIPTS)}
    return self_contained_page(
        f"{title}: BPTT step by step",
        "\n".join([read["body.html"], *arrays.elements]),
        [read["page.css"]],
        ['"use strict";\n' + "\n".join(read[name] for name in SCRIPTS)],
        {"head": head},
    )


def _head(recording: Recording, title: str, model: str, arrays: _Arrays) -> dict[str, Any]:
    net, loss = recording.unrolled, recording.loss
    lanes = []
    for lane in net.lanes:
        quantities = []
        for quantity in lane.quantities:
            values = recording.values[lane.name, quantity.name]
            quantities.append({
                "name": quantity.name, "blocks": list(quantity.blocks), "columns": values.columns,
                "values": arrays.add(values.values), "gradients": arrays.add(values.gradients),
                "start": arrays.add(values.start), "startGradient": arrays.add(values.start_gradient),
            })  # fmt: skip
        lanes.append({
            "name": lane.name, "kind": lane.kind, "level": lane.level, "parameters": lane.parameters,
            "quantities": quantities, "explained": explained(lane.cell, lane.names),
        })  # fmt: skip
    return {
        "title": title, "model": model, "dtype": str(net.output.dtype),
        "batch": int(net.output.shape[1]),
        "loss": {
            "name": loss.name, "value": arrays.add(np.reshape(loss.value, 1)), "terms": arrays.add(loss.terms)
        },
        "outputs": net.output_columns, "outputLane": net.output_lane,
        "columns": [{"label": c.label, "part": c.part} for c in net.columns],
        "lanes": lanes,
        "arrows": [a._asdict() for a in net.arrows],
        "order": arrays.add(np.asarray(recording.order)),
        "pools": [_pool(pool, net.lanes, arrays) for pool in recording.pools],
        "lossColumns": recording.loss_columns,
        "notes": net.notes,
    }  # fmt: skip


def _factors(pool: Pool, lanes: Any) -> Any:
    """[lane, quantity] of dz, and [lane, quantity, lag] of each part of v, by their numbers."""
    if pool.factors is None:
        return None
    numbers = {(lane.name, q.name): (k, j) for k, lane in enumerate(lanes) for j, q in enumerate(lane.quantities)}
    lane, quantity, reads = pool.factors
    return {"dz": numbers[lane, quantity], "reads": [(*numbers[r.lane, r.quantity], r.lag) for r in reads]}


def _pool(pool: Pool, lanes: Any, arrays: _Arrays) -> dict[str, Any]:
    owner = next((k for k, lane in enumerate(lanes) if pool.name in lane.parameters), None)
    return {
        "name": pool.name, "shape": list(pool.total.shape), "lane": owner,
        "total": arrays.add(pool.total), "norms": arrays.add(pool.norms), "running": arrays.add(pool.running),
        "full": arrays.add(pool.full), "factors": _factors(pool, lanes), "lags": arrays.add(pool.lags.astype("<f4")),
    }  # fmt: skip
