"""draw_alignment draws a spectrogram with the CTC alignment on it: at which time the net hears which digit."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from minigrad_rnn import Alignment

from .digit_strings import BLANK, WORDS, Utterance
from .log_mel import centres

HOP = 0.01
"""Seconds from one frame of the spectrogram to the next."""


def draw_alignment(
    utterance: Utterance,
    posteriors: npt.NDArray[Any],
    alignment: npt.NDArray[Any],
    best: Alignment,
    heard: str,
    path: Path,
) -> None:
    """Draw one utterance: its spectrogram with the alignment, and below what the net says at each of its T steps.

    Args:
        posteriors: (T, 11), the net's probabilities of the classes.
        alignment: (T, 11), how probable each class is given the true digits, over all paths through them: the hills on
            top of the spectrogram.
        best: the most probable of these paths; its digits are written where it has them.
        heard: the digits that were decoded.
    """
    pyplot = _pyplot()
    steps, (frames, bands) = len(posteriors), utterance.frames.shape
    top = 1.15 * bands
    ends = frames * HOP
    times = (np.arange(steps) + 0.5) * (frames // steps) * HOP
    figure, axes = pyplot.subplots(2, 1, figsize=(12, 6.5), layout="constrained", sharex=True, height_ratios=(3, 2))
    axes[0].imshow(utterance.frames.T, origin="lower", aspect="auto", extent=(0, ends, 0, bands), cmap="magma")
    ticks = np.array([250, 500, 1000, 2000, 4000, 8000])
    axes[0].set_yticks(np.interp(ticks, centres(bands, 11025), np.arange(bands) + 0.5), [f"{f:,}" for f in ticks])
    axes[0].set_ylabel("hertz")
    axes[0].set_ylim(0, top)
    axes[0].set_facecolor("white")
    axes[0].set_title(f"said by {utterance.voice}: {utterance.text}      heard: {textwrap.shorten(heard, 60)}")
    colors = {int(k): f"C{n % 10}" for n, k in enumerate(dict.fromkeys(utterance.labels))}
    for k, color in colors.items():
        axes[0].fill_between(times, bands, bands + (top - bands) * alignment[:, k], color=color, linewidth=0)
        axes[1].plot(times, posteriors[:, k], color=color, label=WORDS[k - 1])
    for (start, stop), k in zip(best.spans, utterance.labels.tolist()):
        left, right = (start * (frames // steps) * HOP, stop * (frames // steps) * HOP)
        axes[0].axvspan(left, right, ymax=bands / top, color=colors[k], alpha=0.28, linewidth=0)
        axes[0].text(
            (left + right) / 2, 0.95 * bands, WORDS[k - 1], color="white", ha="center", va="top", fontweight="bold"
        )
    axes[1].plot(times, posteriors[:, BLANK], color="gray", linestyle=":", label="blank")
    for k in sorted(set(range(1, 11)) - set(colors)):
        axes[1].plot(times, posteriors[:, k], color="lightgray", linewidth=0.7)
    axes[1].set_ylabel("probability")
    axes[1].set_xlabel("seconds")
    axes[1].set_xlim(0, ends)
    axes[1].legend(loc="center right")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    print(f"wrote {path}")


def _pyplot() -> Any:
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        raise SystemExit("speech: the picture needs matplotlib: pip install matplotlib") from None
    return pyplot
