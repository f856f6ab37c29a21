"""Unicode's CLDR as Babel packs it: `names_by_language`, `dates`, `display_names`.

Babel's locale files are pickles. They are read without Babel, by an unpickler that knows plain data and nothing else:
where a file names a class it gets an object that only keeps its attributes.
"""

from __future__ import annotations

import datetime
import functools
import io
import pickle
import random
import re
from typing import Any

from .members import read_member

LANGUAGES = {
    "Croatian": "hr", "Czech": "cs", "Danish": "da", "Dutch": "nl", "English": "en", "Finnish": "fi", "French": "fr",
    "German": "de", "Hungarian": "hu", "Italian": "it", "Polish": "pl", "Portuguese": "pt", "Romanian": "ro",
    "Spanish": "es", "Swedish": "sv", "Turkish": "tr",
}  # fmt: skip
"""The sixteen languages of `names_by_language`, all written in Latin letters, and their codes."""
KINDS = ("territories", "languages", "scripts", "currency_names", "variants")
FIRST_DAY, DAYS = datetime.date(1970, 1, 1), 36525
"""The century of `dates`; in it two digits of a year tell all four."""
STYLES = ("full", "long", "medium", "short")
DATES = DAYS * len(STYLES) - 31 * 100
"""How many different ones there are: what is long in May is medium, too."""


class _Kept:
    """Stands for an object of a class that is not imported."""

    pattern = ""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] == "babel":
            return type(name, (_Kept,), {"__init__": lambda self, *values: None})
        raise pickle.UnpicklingError(f"{module}.{name} is not data")


@functools.lru_cache
def _locale(code: str) -> dict[str, Any]:
    content = read_member("Babel", f"babel/locale-data/{code}.dat")
    data: dict[str, Any] = _PlainUnpickler(io.BytesIO(content)).load()
    return data


def display_names(code: str) -> dict[tuple[str, str], str]:
    """Return the names of countries, languages, scripts, currencies and variants in one language, by kind and code."""
    data = _locale(code)
    return {(kind, key): str(name) for kind in KINDS for key, name in data[kind].items()}


def names_by_language() -> list[tuple[str, str]]:
    """Return (name, language) for the names of countries, languages, scripts and currencies in sixteen languages.

    The languages are the keys of LANGUAGES. What is spelled the same in two of them (Andorra, Latin) is left out: of it
    nobody could tell the language. Sorted by language and name.
    """
    names = {language: set(display_names(code).values()) for language, code in LANGUAGES.items()}
    languages_of: dict[str, int] = {}
    for spelled in names.values():
        for name in {name.casefold() for name in spelled}:
            languages_of[name] = languages_of.get(name, 0) + 1
    return [
        (name, language)
        for language, spelled in names.items()
        for name in sorted(spelled)
        if languages_of[name.casefold()] == 1 and any(character.isalpha() for character in name)
    ]


def dates(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Return `count` different dates from 1970 to 2069, in English and in French, as people there write them.

    A date is written in one of four styles, the same in both languages: (`Thursday, March 5, 2026`, `jeudi 5 mars
    2026`), (`March 5, 2026`, `5 mars 2026`), (`Mar 5, 2026`, `5 mars 2026`), (`3/5/26`, `05/03/2026`). No English date
    comes twice, so any split of the list is clean.

    Raises:
        ValueError: `count` is below 1 or above the 143,000 that there are.
    """
    if not 1 <= count <= DATES:
        raise ValueError(f"dates: count: got {count}, want 1 to {DATES:,}")
    pairs: list[tuple[str, str]] = []
    for number in random.Random(seed).sample(range(DAYS * len(STYLES)), DAYS * len(STYLES)):
        day, style = FIRST_DAY + datetime.timedelta(number // len(STYLES)), STYLES[number % len(STYLES)]
        if len(pairs) == count:
            break
        if style != "medium" or day.month != 5:  # May has no abbreviation
            pairs.append((format_date(day, style, "en"), format_date(day, style, "fr")))
    return pairs


_FIELD = re.compile(r"'([^']*)'|(y+|M+|d+|E+)")


def format_date(day: datetime.date, style: str, code: str) -> str:
    """Write a date in `style` (full, long, medium, short) and in the language `code` (en, fr), as Babel does."""
    data = _locale(code)
    values = {
        "y": str(day.year), "yy": f"{day.year % 100:02d}", "d": str(day.day), "dd": f"{day.day:02d}",
        "M": str(day.month), "MM": f"{day.month:02d}", "EEEE": data["days"]["format"]["wide"][day.weekday()],
        "MMM": data["months"]["format"]["abbreviated"][day.month], "MMMM": data["months"]["format"]["wide"][day.month],
    }  # fmt: skip
    pattern = data["date_formats"][style].pattern
    return _FIELD.sub(lambda match: match[1] if match[2] is None else values[match[2]], pattern)
