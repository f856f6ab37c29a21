"""examples/speech.py: spectra, voices, augmentation, messages, and short runs on the real data."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import speech
from datasets import DataError, japanese_vowels
from speech_parts.augmentation import BandMask, BandWarp, Noise
from speech_parts.digit_strings import FAMILIES, SPLITS, spoken_digit_strings, voices_of
from speech_parts.espeak import Espeak, EspeakError
from speech_parts.invented_voices import invented_voice
from speech_parts.log_mel import centres, log_mel, mel_filters

needs_espeak = pytest.mark.skipif(
    importlib.util.find_spec("espeakng_loader") is None or importlib.util.find_spec("jiwer") is None,
    reason="the packages of the extra `speech` are not installed",
)


add_variant = Espeak.add_variant


def main(*arguments: str) -> int:
    return speech.run(speech.main, speech.PARSER, arguments)


def test_a_tone_is_in_the_band_around_its_frequency() -> None:
    rate, bands, lowest = 16_000, 20, 80.0
    edges = np.linspace(*(2595 * np.log10(1 + f / 700) for f in (lowest, rate / 2)), bands + 2)
    for k in (2, 9, 17):
        hertz = 700 * (10 ** (edges[k + 1] / 2595) - 1)  # the centre of band k
        tone = np.sin(2 * np.pi * hertz * np.arange(rate // 4) / rate).astype(np.float32)
        frames = log_mel(tone, rate, bands, lowest=lowest)
        assert frames.shape == (23, bands)  # 1 + (250 ms − 25 ms) / 10 ms
        assert (frames.argmax(1) == k).all()


def test_the_filters_share_out_every_frequency_between_neighbours() -> None:
    filters = mel_filters(12, 512, 16_000, 80.0)
    inside = np.flatnonzero(filters.argmax(1) * (filters.sum(1) > 0))
    first, last = filters[:, 0].argmax() + 1, filters[:, -1].argmax() - 1
    np.testing.assert_allclose(filters[first:last].sum(1), 1, atol=1e-12)
    assert inside.size
    assert (filters >= 0).all()


def test_a_sound_shorter_than_a_window_is_one_frame() -> None:
    assert log_mel(np.zeros(10, np.float32), 16_000).shape == (1, 32)


def test_no_voice_is_in_two_splits_and_families_stay_together() -> None:
    voices = {split: set(voices_of(split)) for split in SPLITS}
    assert sum(map(len, voices.values())) == len(set().union(*voices.values())) == sum(map(len, FAMILIES))
    for family in FAMILIES:
        assert sum(bool(voices[split] & set(family)) for split in SPLITS) == 1


def test_invented_voices_differ_and_follow_from_their_generator() -> None:
    texts = [invented_voice(np.random.default_rng(k)) for k in (*range(200), 7)]
    assert texts[7] == texts[-1]
    assert len(set(texts)) == 200
    lines = [dict(line.split(" ", 1) for line in text.splitlines() if "formant" not in line) for text in texts]
    share = {name: np.mean([name in voice for voice in lines]) for name in ("voicing", "echo", "breath", "pitch")}
    assert share["pitch"] == 1
    assert abs(share["voicing"] - 0.7) < 0.12
    assert abs(share["echo"] - 0.3) < 0.12
    assert all(("breath" in voice) == ("breathw" in voice) for voice in lines)
    lengths = [np.log(int(text.split("formant 1 ")[1].split()[0]) / 100) for text in texts]
    assert abs(np.std(lengths) - np.hypot(0.12, 0.12)) < 0.03  # the tract's length and the formant's own share


def test_noise_is_the_same_at_all_steps_or_different_at_each_and_none_in_evaluation() -> None:
    xs = np.zeros((200, 3, 4), np.float32)
    of_sequences = Noise(0.0, 1.0, np.random.default_rng(0))(xs).numpy()
    assert (of_sequences == of_sequences[0]).all()
    assert of_sequences[0].std() > 0.3
    of_steps = Noise(0.5, 0.0, np.random.default_rng(0))(xs).numpy()
    np.testing.assert_allclose(of_steps.std(0), 0.5, atol=0.15)
    assert Noise(0.5, 0.5, np.random.default_rng(0)).eval()(xs) is xs


def test_a_band_mask_hides_the_same_neighbouring_bands_of_every_frame() -> None:
    xs = np.ones((5, 40, 3 * 8), np.float32)
    masked = BandMask(8, 4, np.random.default_rng(0))(xs).numpy().reshape(5, 40, 3, 8)
    assert (masked == masked[:1, :, :1]).all()
    widths = []
    for kept in masked[0, :, 0]:
        hidden = np.flatnonzero(kept == 0)
        widths.append(len(hidden))
        assert len(hidden) == 0 or hidden[-1] - hidden[0] == len(hidden) - 1
    assert set(widths) == {0, 1, 2, 3, 4}


def test_a_band_warp_moves_a_sequences_peak_alike_in_every_frame_by_at_most_its_factor() -> None:
    hertz = centres(32, 11_025)
    xs = np.tile(np.maximum(0, 1 - np.abs(np.arange(32) - 16) / 3).astype(np.float32), (5, 60, 3))
    warped = BandWarp(hertz, 0.15, np.random.default_rng(0))(xs).numpy().reshape(5, 60, 3, 32)
    np.testing.assert_array_equal(warped, np.broadcast_to(warped[:1, :, :1], warped.shape))
    peaks = hertz[warped[0, :, 0].argmax(1)] / hertz[16]
    step = hertz[17] / hertz[16]
    assert peaks.max() > 1.05
    assert peaks.min() < 0.95
    assert 1 / 1.15 / step < peaks.min() < peaks.max() < 1.15 * step
    same = BandWarp(hertz, 0.0, np.random.default_rng(0))(xs).numpy()
    np.testing.assert_allclose(same, xs, atol=1e-5)


def test_a_missing_package_is_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    monkeypatch.setitem(sys.modules, "jiwer", SimpleNamespace())
    assert main("digits") == 2
    assert capsys.readouterr().err.endswith("the speech examples need: pip install '.[speech]'\n")
    monkeypatch.setitem(sys.modules, "jiwer", None)
    assert main("digits") == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_library_that_cannot_be_loaded_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "libespeak.so"
    broken.write_bytes(b"no library")
    loader = SimpleNamespace(get_library_path=lambda: str(broken), get_data_path=lambda: str(tmp_path))
    monkeypatch.setitem(sys.modules, "espeakng_loader", loader)  # type: ignore[arg-type]
    with pytest.raises(EspeakError, match=r"its library could not be loaded on this machine: .*libespeak"):
        Espeak()


def test_resume_wants_no_file(capsys: pytest.CaptureFixture[str], vowels: Any) -> None:
    assert main("speakers", "--resume", "some.npz") == 2
    assert "--resume: got some.npz" in capsys.readouterr().err


@pytest.fixture
def vowels() -> Any:
    try:
        return japanese_vowels()
    except DataError as error:
        pytest.skip(f"JapaneseVowels cannot be downloaded here: {error}")


def test_speakers_are_told_apart_after_little_training(
    vowels: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(vowels.train.cepstra) == 270
    assert np.bincount(vowels.test.speakers).tolist() == [31, 35, 88, 44, 29, 24, 40, 50, 29]  # as published
    assert main("speakers", "--seeds", "1", "--epochs", "2", "--out", str(tmp_path)) == 0
    printed = capsys.readouterr().out
    assert float(printed.split("seed 0: ")[1].split("%")[0]) > 50
    assert (tmp_path / "speakers-0" / "checkpoint.npz").exists()


@needs_espeak
def test_a_voice_speaks_and_an_unknown_one_is_named() -> None:
    one, two = (spoken_digit_strings(3, "test", 0) for _ in range(2))
    assert all(np.array_equal(a.labels, b.labels) and a.voice == b.voice for a, b in zip(one, two))
    first, second = Espeak(), Espeak()
    assert first.say("<speak>one</speak>", "en-us").size > 0  # though the library now has the second one's callback
    assert second.say("<speak>one</speak>", "en-us").size > 0
    assert all(len(u.frames) > 20 * len(u.labels) and np.isfinite(u.frames).all() for u in one)
    assert all(u.voice.split("+")[1] in voices_of("test") for u in one)
    with pytest.raises(EspeakError, match="voice: got 'en-gb'"):
        Espeak().say("<speak>one</speak>", "en-gb")


@needs_espeak
def test_invented_voices_are_added_to_the_others_and_each_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    espeak, drawn = Espeak(), []
    with monkeypatch.context() as patch:
        patch.setattr(
            Espeak, "add_variant", lambda self, *variant: (drawn.append(variant), add_variant(self, *variant))
        )
        utterances = spoken_digit_strings(2, "train", 0, espeak, invented=3)
    assert [name for name, _ in drawn] == ["invented"] * 3
    assert len({text for _, text in drawn}) == 3
    assert [u.voice.endswith("+invented") for u in utterances] == [False, False, True, True, True]
    alone = spoken_digit_strings(2, "train", 0, espeak)
    assert all(np.array_equal(a.labels, b.labels) and a.voice == b.voice for a, b in zip(alone, utterances))
    pitches = []
    for hertz in (100, 200):
        espeak.add_variant("invented", f"language variant\nname invented\npitch {hertz} {hertz}\nformant 0 0 0 0\n")
        sound = espeak.say("<speak>one</speak>", "en-us+invented", pitch_range=0)
        spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)))) ** 0.5
        pitches.append(np.abs(np.fft.irfft(spectrum))[40:400].argmax() + 40)  # samples of one period
    assert pitches[0] > 1.5 * pitches[1]


@needs_espeak
def test_digits_train_decode_and_draw(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ("--utterances", "32", "--epochs", "1", "--hidden-size", "8", "--beam-width", "2")
    assert main("digits", *flags, "--out", str(tmp_path)) == 0
    printed = capsys.readouterr().out
    assert printed.count("%\n") == 3
    assert (tmp_path / "alignment.png").stat().st_size > 10_000
