"""Espeak speaks a text in one of eSpeak NG's voices, through its C library.

The library is an optional package, espeakng-loader; nothing else of it is used than its C functions.
"""

from __future__ import annotations

import ctypes
import functools
import shutil
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

SYNCHRONOUS, UTF8, SSML = 2, 1, 0x10
RATE, PITCH, PITCH_RANGE = 1, 3, 4
Waves = ctypes.POINTER(ctypes.c_short)
Callback = ctypes.CFUNCTYPE(ctypes.c_int, Waves, ctypes.c_int, ctypes.c_void_p)


class EspeakError(OSError):
    """eSpeak NG cannot be had, or does not know a voice."""


class Espeak:
    """eSpeak NG, loaded once in a process. `sample_rate` is in samples per second.

    Raises:
        EspeakError: the package espeakng-loader is missing, or its library cannot be loaded here.
    """

    def __init__(self) -> None:
        loader = _loader()
        try:
            self._library: Any = ctypes.CDLL(loader.get_library_path())
            self._data = Path(_english(str(loader.get_data_path())).name)
        except OSError as error:
            raise EspeakError(f"eSpeak NG: its library could not be loaded on this machine: {error}") from error
        self.sample_rate: int = self._library.espeak_Initialize(SYNCHRONOUS, 500, str(self._data).encode(), 0)
        if self.sample_rate <= 0:
            raise EspeakError(f"eSpeak NG: it could not be started with the voices in {loader.get_data_path()}")
        self._pieces: list[npt.NDArray[np.int16]] = []
        self._callback = Callback(self._receive)  # kept: C holds no reference to it

    def add_variant(self, name: str, text: str) -> None:
        """Have one more variant until the process ends: `text` is what eSpeak NG's voice files say."""
        (self._data / "espeak-ng-data" / "voices" / "!v" / name).write_text(text, encoding="ascii")

    def _receive(self, waves: Any, count: int, events: Any) -> int:
        if waves and count > 0:
            self._pieces.append(np.ctypeslib.as_array(waves, (count,)).copy())
        return 0

    def say(
        self, text: str, voice: str, rate: int = 160, pitch: int = 50, pitch_range: int = 50
    ) -> npt.NDArray[np.float32]:
        """Return the samples of a spoken text, from −1 to 1.

        Voices flutter: a text that is spoken again differs by a few samples. The same calls from the beginning of a
        process give the same samples.

        Args:
            text: SSML, such as "<speak>one <break time='200ms'/> two</speak>".
            voice: an accent and, after a plus sign, a variant: "en-us+f2".
            rate: words per minute, 80 to 450.
            pitch, pitch_range: 0 to 100.

        Raises:
            EspeakError: there is no such voice, or nothing was spoken.
        """
        if self._library.espeak_SetVoiceByName(voice.encode()):
            raise EspeakError(f"eSpeak NG: voice: got {voice!r}, which it does not have")
        for parameter, value in ((RATE, rate), (PITCH, pitch), (PITCH_RANGE, pitch_range)):
            self._library.espeak_SetParameter(parameter, int(value), 0)
        self._library.espeak_SetSynthCallback(self._callback)  # it has only one, perhaps another Espeak's
        self._pieces.clear()
        data = text.encode() + b"\0"
        self._library.espeak_Synth(data, ctypes.c_size_t(len(data)), 0, 0, 0, UTF8 | SSML, None, None)
        self._library.espeak_Synchronize()
        if not self._pieces:
            raise EspeakError(f"eSpeak NG: nothing was spoken for {text!r} by {voice!r}")
        return np.concatenate(self._pieces).astype(np.float32) / np.float32(32768)


@functools.cache
def _english(data: str) -> tempfile.TemporaryDirectory[str]:
    """Copy the data that English needs, so that variants can be added; the folder lasts as long as the process."""
    folder = tempfile.TemporaryDirectory(prefix="espeak-")
    others = shutil.ignore_patterns("[!e]*_dict", "e[!n]*_dict")
    shutil.copytree(data, Path(folder.name) / "espeak-ng-data", ignore=others)
    return folder


def _loader() -> ModuleType:
    try:
        import espeakng_loader
    except ImportError:
        raise EspeakError(
            "eSpeak NG: the package espeakng-loader is missing; pip install espeakng-loader==0.2.4, or all that the "
            "speech examples need: pip install '.[speech]'"
        ) from None
    return espeakng_loader  # type: ignore[no-any-return]
