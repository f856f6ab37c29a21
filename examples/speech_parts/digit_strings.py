"""spoken_digit_strings makes utterances of one to five digits by many voices, others in each of three splits."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .espeak import Espeak
from .invented_voices import invented_voice
from .log_mel import log_mel

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
STACKED = 3
"""Frames of the spectrogram that the digits' net reads at once, so that it takes 33 steps a second."""
BLANK = 0
"""The class of CTC's blank; digit d is class d + 1."""

ACCENTS = ("en-us", "en-us-nyc", "en-029", "en-gb-scotland", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-gb-x-rp")
FAMILIES = (
    ("Alex",), ("Alicia",), ("Andrea",), ("Andy", "AnxiousAndy"), ("Annie",), ("Denis",), ("Diogo",),
    ("Gene", "Gene2"), ("Henrique",), ("Hugo",), ("Jacky",), ("Lee",), ("Marco",), ("Mario",), ("Michael",),
    ("Mike", "mike2"), ("Mr serious",), ("Nguyen",), ("Reed",), ("RicishayMax", "RicishayMax2", "RicishayMax3"),
    ("Storm",), ("Tweaky",), ("adam",), ("anika",), ("announcer",), ("antonio",), ("aunty",), ("belinda",),
    ("benjamin",), ("boris",), ("caleb",), ("croak",), ("david",), ("ed",), ("edward", "edward2"), ("f1",), ("f2",),
    ("f3",), ("f4",), ("f5",), ("fast",), ("grandma",), ("grandpa",), ("gustave",), ("ian",),
    ("iven", "iven2", "iven3", "iven4"), ("john",), ("kaukovalta",),
    ("klatt", "klatt2", "klatt3", "klatt4", "klatt5", "klatt6"), ("linda",), ("m1",), ("m2",), ("m3",), ("m4",),
    ("m5",), ("m6",), ("m7",), ("m8",), ("marcelo",), ("max",), ("michel",), ("miguel",), ("norbert",), ("pablo",),
    ("paul",), ("pedro",), ("quincy",), ("rob",), ("robert",), ("sandro",), ("shelby",),
    ("steph", "steph2", "steph3"), ("travis",), ("victor",), ("whisper", "whisperf"), ("zac",),
)  # fmt: skip
"""eSpeak NG's variants, but for its robots. Those that share a name are kept together."""
SPLITS = {"train": (0, 1, 2, 4, 5), "validation": (6,), "test": (3, 7)}
"""Which of every eight families, in alphabetical order, belong to a split."""


class Utterance(NamedTuple):
    """A spoken digit string."""

    frames: npt.NDArray[np.float32]
    """Its log-mel spectrogram, (frames, bands): 100 frames a second."""
    labels: npt.NDArray[np.int64]
    """Its digits as classes, d + 1."""
    voice: str
    noise: float
    """The signal-to-noise ratio in decibels."""

    @property
    def text(self) -> str:
        """Its digits in words."""
        return words_of(self.labels)


def words_of(labels: npt.ArrayLike) -> str:
    """Return classes in words: [8, 2] is "seven one"."""
    return " ".join(WORDS[k - 1] for k in np.asarray(labels, int))


def frames_of(utterance: Utterance) -> npt.NDArray[np.float32]:
    """What the net reads: the spectrogram less its mean over time, frames stacked; (steps, bands · STACKED)."""
    frames = utterance.frames - utterance.frames.mean(0)
    steps = len(frames) // STACKED
    stacked: npt.NDArray[np.float32] = frames[: steps * STACKED].reshape(steps, -1)
    return stacked


def voices_of(split: str) -> list[str]:
    """Return the variants of a split: "train", "validation" or "test"."""
    return [voice for k, family in enumerate(FAMILIES) if k % 8 in SPLITS[split] for voice in family]


def spoken_digit_strings(
    count: int, split: str, seed: int, espeak: Espeak | None = None, invented: int = 0
) -> list[Utterance]:
    """Return utterances of 1 to 5 digits: random accents, voices of the split, speeds, pitches, pauses and noise.

    Args:
        count: how many.
        split: "train", "validation" or "test"; each has voices that the others never hear.
        seed: what is said in utterance k, and how, follows from it, the split and k; but see `Espeak.say`.
        invented: how many more to return, each by another voice that `invented_voice` draws.

    Raises:
        EspeakError: eSpeak NG cannot be had.
    """
    espeak = espeak or Espeak()
    voices, number = voices_of(split), list(SPLITS).index(split)
    utterances = []
    for k in range(count + invented):
        rng = np.random.default_rng([seed, number, k])
        if k >= count:
            voices = ["invented"]
            espeak.add_variant("invented", invented_voice(rng))
        utterances.append(_utterance(espeak, voices, rng))
    return utterances


def _utterance(espeak: Espeak, voices: list[str], rng: np.random.Generator) -> Utterance:
    digits = rng.integers(0, 10, rng.integers(1, 6))
    voice = f"{rng.choice(ACCENTS)}+{rng.choice(voices)}"
    words = [f"{WORDS[d]} <break time='{rng.integers(1, 300)}ms'/>" if rng.random() < 0.5 else WORDS[d] for d in digits]
    rate, pitch, pitch_range = (int(rng.integers(low, high)) for low, high in ((110, 230), (20, 90), (20, 80)))
    sound = espeak.say(f"<speak>{' '.join(words)}</speak>", voice, rate, pitch, pitch_range)
    silence = rng.integers(0, espeak.sample_rate // 4, 2)
    sound = np.pad(sound / max(1e-3, float(np.abs(sound).max())), tuple(silence))
    decibels = float(rng.uniform(10, 30))
    power = float(np.mean(np.square(sound)))
    sound = sound + rng.normal(0, np.sqrt(power / 10 ** (decibels / 10)), len(sound)).astype(np.float32)
    sound = sound * np.float32(10 ** rng.uniform(-1, 0))  # quiet and loud
    return Utterance(log_mel(sound, espeak.sample_rate), digits + 1, voice, decibels)
