"""invented_voice draws a voice that nobody has, so that a net hears more of them than eSpeak NG comes with."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SPREAD = (0.2, 0.12, 0.1, 0.15, 0.2, 0.2, 0.2, 0.2, 0.2)
"""The deviation of each formant's frequency, as a logarithm, from where the vocal tract's length puts it."""


def invented_voice(rng: np.random.Generator) -> str:
    """Return the text of a variant file of eSpeak NG, in which all that makes a voice is drawn.

    Pitch, the length of the vocal tract, each formant's frequency, strength and width; and in some voices an echo,
    roughness, flutter, breath, Klatt's synthesiser, and other proportions of voicing, consonants and treble. (Tobin et
    al. 2017, domain randomisation: if what is synthesised varies enough, what is real is one more variation.)
    """
    pitch, tract = _log_uniform(rng, 60, 220), np.exp(rng.normal(0, 0.12))
    lines = ["language variant", "name invented", f"pitch {pitch:.0f} {pitch * rng.uniform(1.15, 1.8):.0f}"]
    for k, deviation in enumerate(SPREAD):
        frequency = 100 * tract * np.exp(rng.normal(0, deviation))  # in per cent of the accent's own, as all below
        strength = rng.uniform(60, 150) if k < 3 else rng.uniform(20, 140)
        lines.append(f"formant {k} {frequency:.0f} {strength:.0f} {_log_uniform(rng, 50, 180):.0f}")
    breath, tones = rng.uniform(0, 80, 8) * rng.uniform(0.05, 1), rng.integers(2, 5)
    widths, hertz = np.sort(rng.uniform(60, 600, 8)), np.sort(rng.uniform(100, 4500, tones))
    sometimes = {
        f"klatt {rng.integers(1, 7)}": 0.2,
        f"voicing {_log_uniform(rng, 20, 250):.0f}": 0.7,
        f"consonants {rng.uniform(30, 180):.0f} {rng.uniform(30, 180):.0f}": 0.5,
        f"echo {rng.uniform(10, 160):.0f} {rng.uniform(10, 80):.0f}": 0.3,  # milliseconds, per cent
        f"roughness {rng.integers(0, 8)}": 0.3,
        f"flutter {rng.integers(0, 21)}": 0.3,
        f"breath {_numbers(breath)}\nbreathw {_numbers(widths)}": 0.25,
        f"tone {_numbers(np.column_stack([hertz, rng.uniform(40, 255, tones)]).ravel())}": 0.4,
    }
    lines += [line for line, probability in sometimes.items() if rng.random() < probability]
    return "\n".join(lines) + "\n"


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _numbers(xs: npt.NDArray[np.float64]) -> str:
    return " ".join(f"{x:.0f}" for x in xs)
