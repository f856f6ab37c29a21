"""The explorer's page in headless Chromium: it steps, its numbers are the tape's, keys work, and it fits a phone.

`open_page` fails a test for every console error and every request.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad_rnn import RNN, explore
from minigrad_rnn.explorer import explorer_page

from .pages import Page, cases, classics, translators

EVERY = cases() | classics() | translators()

Open = Callable[..., Any]


def opened(open_page: Open, folder: Path, kind: str, **options: Any) -> tuple[Any, Page]:
    model, xs, targets = EVERY[kind]
    path = folder / "page.html"
    explore(model, xs, targets, path)
    page = open_page(path, **options)
    page.wait_for_selector("html[data-ready]")
    return page, Page(path)


def status(page: Any) -> str:
    return str(page.inner_text("#status"))


def go(page: Any, frame: int) -> None:
    page.evaluate("frame => show(frame)", frame)


EVERY_FRAME = """() => {
    const frames = [];
    for (let frame = 0; frame <= 2 * COUNT; frame++) {
        if (frame) document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
        const numbers = {};
        for (const table of document.querySelectorAll("table[data-quantity]")) {
            for (const kind of ["value", "gradient"]) {
                const cells = [...table.querySelectorAll(`td.${kind}`)];
                numbers[`${table.dataset.quantity} ${kind}`] = cells.map((cell) => cell.dataset.value);
            }
        }
        frames.push({ status: document.getElementById("status").textContent, numbers });
    }
    return frames;
}"""


def test_every_step_of_both_passes_shows_the_tapes_numbers(open_page: Open, tmp_path: Path) -> None:
    page, file = opened(open_page, tmp_path, "RNN")
    order = file.arrays[file.head["order"]]
    frames = page.evaluate(EVERY_FRAME)
    assert len(frames) == 31
    assert frames[0]["status"].startswith("Before the first step. 15 steps")
    seen = 0
    for frame in range(1, 31):
        lane, column = order[frame - 1] if frame <= len(order) else order[2 * len(order) - frame]
        entry, numbers = file.head["lanes"][lane], frames[frame]["numbers"]
        assert f"{entry['name']} at t = {column}" in frames[frame]["status"]
        for quantity in entry["quantities"]:
            for kind in ("value", "gradient") if frame > len(order) else ("value",):
                want = file.arrays[quantity[f"{kind}s"]][quantity["columns"].index(column), 0]
                assert list(map(float, numbers[f"{quantity['name']} {kind}"])) == want.tolist()
                seen += 1
    assert seen == 60  # x, z, h and Y at five steps, once forward, twice backward
    assert "Backward, step 15 of 15: dx(0)" in frames[-1]["status"]
    for pool in file.head["pools"]:
        data = page.locator(f'[data-pool="{pool["name"]}"] .sum').get_attribute("data-value")
        np.testing.assert_allclose(float(data), np.linalg.norm(file.arrays[pool["total"]]), rtol=1e-12)


def test_keys_buttons_and_the_slider(open_page: Open, tmp_path: Path) -> None:
    page, _ = opened(open_page, tmp_path, "RNN")
    for key, start in (
        ("End", "Backward, step 15"), ("Home", "Before"), ("t", "Forward, step 15"), ("ArrowLeft", "Forward, step 14"),
        ("PageUp", "Forward, step 12"), ("PageDown", "Forward, step 13"), ("ArrowRight", "Forward, step 14"),
    ):  # fmt: skip
        page.keyboard.press(key)
        assert status(page).startswith(start), key
    for button, start in (("#first", "Before"), ("#next", "Forward, step 1 "), ("#last", "Backward, step 15"),
                          ("#back", "Backward, step 14"), ("#turn", "Forward, step 15")):  # fmt: skip
        page.click(button)
        assert status(page).startswith(start), button
    page.locator("#frame").fill("28")
    assert status(page).startswith("Backward, step 13 ")
    page.select_option("#speed", "90")
    page.locator("h1").click()
    page.keyboard.press("Space")
    assert page.inner_text("#play") == "Pause"
    page.wait_for_function("() => player.frame === 30")
    assert page.inner_text("#play") == "Play"
    page.locator("[data-step]").first.focus()
    page.keyboard.press("Enter")  # keeps a step in the details
    assert page.locator("[data-step].chosen").count() == 1
    page.locator("#heat").focus()
    page.keyboard.press("ArrowDown")
    assert page.inner_text("#heat-text").startswith("Loss at t = 1, lag 0: ‖contribution‖ = 0.")
    assert status(page).startswith("Backward, step 15")  # the map keeps its keys to itself


def test_pools_grow_by_the_steps_that_have_been_visited(open_page: Open, tmp_path: Path) -> None:
    page, file = opened(open_page, tmp_path, "RNN")
    pool = file.pool("forward0.Wr")
    full = file.arrays[pool["full"]]
    go(page, 15 + 3 * 2)  # Y, h and x of t = 4, then of t = 3
    sum_so_far = page.locator('[data-pool="forward0.Wr"] .sum')
    assert "after 2 of 5" in sum_so_far.inner_text()
    np.testing.assert_allclose(
        float(sum_so_far.get_attribute("data-value")), np.linalg.norm(full[4] + full[3]), rtol=1e-12
    )
    assert page.locator("#pool-matrix figcaption").all_inner_texts()[0].startswith("last contribution, t = 3")


def test_equations_and_the_lines_of_the_reference(open_page: Open, tmp_path: Path) -> None:
    page, _ = opened(open_page, tmp_path, "LSTM")
    page.locator('[data-step="1,2"]').focus()
    assert page.locator("#details math").count() == 4
    assert "c[t, l] = f * c[t - 1, l] + i * g" in page.inner_text("#details")
    page.locator("#example").select_option("1")
    go(page, 10**6)
    page.locator('[data-step="2,1"]').focus()  # reads backward: h(t+1)
    assert "h(t+1)" in page.locator("#details math").nth(5).text_content().replace("−", "-")


def test_markup_and_nan_do_not_break_the_page(open_page: Open, tmp_path: Path) -> None:
    model, xs, targets = cases()["RNN"]
    xs = xs.copy()
    xs[1] = np.nan
    title = "<script>alert(1)</script>&<b>"
    explore(model, xs, targets, tmp_path / "page.html", title=title)
    page = open_page(tmp_path / "page.html")
    page.keyboard.press("End")
    assert page.inner_text("h1").startswith(title)
    assert page.locator("h1 b").count() == 0
    page.locator('[data-step="1,3"]').hover()
    cells = page.locator('table[data-quantity="h"] td.number').all_inner_texts()
    assert set(cells) == {"NaN"}
    assert page.locator("#net").get_by_text("NaN").count() > 0
    assert "NaN" in page.inner_text("#pools")


BOXES = """() => {
    const boxes = [...document.querySelectorAll("#net .step rect.box")].map((box) => box.getBBox());
    const beside = (a, b) => a.x + a.width <= b.x || a.y + a.height <= b.y;
    return {
        count: boxes.length,
        apart: boxes.every((a, i) => boxes.every((b, j) => i === j || beside(a, b) || beside(b, a))),
        wide: document.documentElement.scrollWidth > innerWidth,
        paper: getComputedStyle(document.body).backgroundColor,
        low: Math.min(...[...document.querySelectorAll(".buttons button")].map((b) => b.offsetHeight)),
        steps: COUNT,
    };
}"""


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "Elman", "attend before"])
def test_desktop_and_phone_light_and_dark(open_page: Open, tmp_path: Path, kind: str) -> None:
    """Every step has its own box, nothing runs out of the window, and buttons are large enough for a thumb."""
    page, _ = opened(open_page, tmp_path, kind)
    go(page, 16)
    papers = set()
    for scheme in ("light", "dark"):
        for width, height in ((1280, 800), (360, 740)):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            page.set_viewport_size({"width": width, "height": height})
            page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
            found = page.evaluate(BOXES)
            assert found["count"] == found["steps"]
            assert found["apart"]
            assert not found["wide"]
            assert found["low"] >= (40 if width == 360 else 34)
            papers.add((scheme, found["paper"]))
    assert len(papers) == 2


def test_the_cut_and_the_attention_are_drawn(open_page: Open, tmp_path: Path) -> None:
    page, _ = opened(open_page, tmp_path, "Elman")
    assert page.locator("#net .cut-mark").count() == 4
    assert page.locator("#cut-legend").is_visible()
    page.evaluate("() => show(2 * COUNT)")
    assert page.locator("#net .arrow.cut.back").count() == 0
    assert page.locator("#net .arrow.weight.back").count() > 0
    page, file = opened(open_page, tmp_path, "attend before")
    page.evaluate("() => show(COUNT)")
    assert page.locator("#net .arrow.attention").count() == 4
    alpha = file.arrays[file.quantity("context", "α")["values"]][2, 0]
    titles = page.locator("#net .arrow.attention title").evaluate_all("titles => titles.map((t) => t.textContent)")
    np.testing.assert_allclose([float(t.split()[1]) for t in titles], alpha, rtol=1e-3)


def test_a_long_sequence_is_folded_and_multiplies_its_contributions(
    open_page: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explorer_page, "LOSS_TERMS", (2, 2))
    model, T = RNN(4, 48, rng=0, dtype="float64"), 120
    rng = np.random.default_rng(0)
    path = tmp_path / "page.html"
    explore(model, rng.standard_normal((T, 1, 4)), rng.standard_normal((T, 1, 48)), path)
    page, file = open_page(path), Page(path)
    assert page.evaluate("rank.map((columns) => columns.size)") == [T] * 3
    boxes = page.locator("#net .step")
    assert boxes.count() < 60
    assert page.locator("#net .fold").first.is_visible()
    page.evaluate("() => show(2 * COUNT - 3 * 60)")
    assert page.locator('[data-step="1,60"]').count() == 1
    assert page.locator('[data-step="1,20"]').count() == 0
    found = page.evaluate(
        """() => {
            const pool = POOLS.find((pool) => pool.name === "forward0.Wr");
            const size = (numbers) => Math.sqrt(numbers.reduce((a, v) => a + v * v, 0));
            const rows = poolRows[POOLS.indexOf(pool)].filter((row) => isPooled(pool, row));
            return [pool.full, size(contribution(pool, 60)), size(poolSoFar(pool, rows)), rows.length];
        }"""
    )
    pool = file.pool("forward0.Wr")
    assert found[0] is None
    np.testing.assert_allclose(found[1:3], [file.arrays[pool[n]][60] for n in ("norms", "running")], rtol=1e-10)
    assert found[3] == 60
