"""log_mel computes the log-mel spectrogram of a sound: its energy over time, in bands that the ear tells apart."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def log_mel(
    samples: Floats, sample_rate: int, bands: int = 32, window: float = 0.025, step: float = 0.01, lowest: float = 80.0
) -> Floats:
    """Return log energies, (frames, bands), of a sound (samples,): one frame for every `step` seconds.

    High frequencies are raised first, y(n) = x(n) − 0.97 x(n−1), as is usual for speech; then windows of `window`
    seconds (Hamming), their power spectra, and triangular filters, equally wide on the mel scale (Davis & Mermelstein
    1980), from `lowest` hertz to half the sample rate. A sound shorter than a window is padded with silence to one.
    """
    width, hop = int(window * sample_rate), int(step * sample_rate)
    samples = np.pad(samples, (0, max(0, width - len(samples))))
    raised = np.append(samples[:1], samples[1:] - np.float32(0.97) * samples[:-1])
    frames = np.lib.stride_tricks.sliding_window_view(raised, width)[::hop] * np.hamming(width).astype(np.float32)
    size = 1 << (width - 1).bit_length()
    power = np.square(np.abs(np.fft.rfft(frames, size))) / size
    return np.log(power @ mel_filters(bands, size, sample_rate, lowest) + 1e-8).astype(np.float32)


@functools.cache
def mel_filters(bands: int, size: int, sample_rate: int, lowest: float) -> npt.NDArray[np.float64]:
    """Return triangles (size // 2 + 1, bands): band k rises from the centre of k − 1 and falls to that of k + 1."""
    mel = np.linspace(_mel(lowest), _mel(sample_rate / 2), bands + 2)
    at = _mel(np.fft.rfftfreq(size, 1 / sample_rate))[:, None]
    rising, falling = (at - mel[:-2]) / (mel[1:-1] - mel[:-2]), (mel[2:] - at) / (mel[2:] - mel[1:-1])
    return np.maximum(0, np.minimum(rising, falling))


def centres(bands: int, highest: float, lowest: float = 80.0) -> npt.NDArray[np.float64]:
    """Return the bands' middle frequencies in hertz, (bands,)."""
    mel = np.linspace(_mel(lowest), _mel(highest), bands + 2)[1:-1]
    return 700 * (10 ** (mel / 2595) - 1)


def _mel(hertz: npt.ArrayLike) -> npt.NDArray[np.float64]:
    return 2595 * np.log10(1 + np.asarray(hertz, np.float64) / 700)
