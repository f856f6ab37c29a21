"""`english_french` gathers the French translations of free software, `read_po` reads one catalogue's source."""

from __future__ import annotations

import ast
import gettext
import io
import re
from collections import Counter
from collections.abc import Iterator

from .cldr import display_names
from .members import read_members

SOURCES = (
    "indico", "jupyterlab-language-pack-fr-FR", "horizon", "wagtail", "django-oscar", "sphinx", "Django", "django-cms",
)  # fmt: skip
LONGEST = 80
_NO_SENTENCE = re.compile(r"[%{}<>\n]|&\w+;")
"""Placeholders, markup, and several lines."""
_KEYWORD = re.compile(r'(msg(?:ctxt|id|id_plural|str)(?:\[\d+\])?)\s+(".*")')

Pair = tuple[str, str]


def english_french() -> list[Pair]:
    """Return clean (English, French) pairs of user interfaces and of names, sorted, each English text once.

    Left out: texts with placeholders or markup, of more than 80 characters or several lines, without a letter, or the
    same in both languages. English texts that differ in case or spaces only are one; of its translations the most
    frequent is kept. So whoever splits the list at random has no English text on both sides.
    """
    translations: dict[str, Counter[Pair]] = {}
    for english, french in all_pairs():
        pair = " ".join(english.split()), " ".join(french.split())
        if is_clean(*pair) and not _NO_SENTENCE.search(english + french):
            translations.setdefault(pair[0].casefold(), Counter())[pair] += 1
    # Of equally frequent ones that which comes first in the alphabet.
    return sorted(min(found, key=lambda pair: (-found[pair], pair)) for found in translations.values())


def is_clean(english: str, french: str) -> bool:
    """Whether a pair is short text in two languages."""
    return (
        bool(french)
        and max(len(english), len(french)) <= LONGEST
        and english.casefold() != french.casefold()
        and any(character.isalpha() for character in english)
    )


def all_pairs() -> Iterator[Pair]:
    """Yield every pair of the catalogues and of CLDR's names, as it is written there."""
    for source in SOURCES:
        catalogues = dict(read_members(source, "*/LC_MESSAGES/*.[mp]o"))
        for path, content in catalogues.items():
            if re.search("/fr(_FR)?/LC_MESSAGES/", path):
                if path.endswith(".mo"):
                    yield from read_mo(content)
                elif path[:-3] + ".mo" not in catalogues:
                    yield from read_po(content.decode("utf-8"))
    english, french = display_names("en"), display_names("fr")
    yield from ((english[key], french[key]) for key in english if key in french)


def read_mo(content: bytes) -> Iterator[Pair]:
    """Yield the pairs of a compiled catalogue; of a text with a plural the singular."""
    catalogue: dict[str | tuple[str, int], str] = gettext.GNUTranslations(io.BytesIO(content))._catalog  # type: ignore[attr-defined]
    for key, french in catalogue.items():
        english, form = key if isinstance(key, tuple) else (key, 0)
        english = english.rpartition("\x04")[2]  # behind its context
        if form == 0 and english and french:
            yield english, french


def read_po(text: str) -> Iterator[Pair]:
    """Yield the pairs of a catalogue's source; of a text with a plural both. Uncertain ("fuzzy") ones are left out."""
    entry: dict[str, str] = {}
    fuzzy, keyword = False, ""
    for line in [*text.splitlines(), 'msgid ""']:  # the last line ends the last entry
        line = line.strip()
        match = _KEYWORD.fullmatch(line)
        begins = line.startswith("#") or (match is not None and match[1] in ("msgctxt", "msgid"))
        if begins and keyword.startswith("msgstr"):
            if not fuzzy:
                yield from _pairs_of(entry)
            entry, fuzzy, keyword = {}, False, ""
        if line.startswith("#,"):
            fuzzy = fuzzy or "fuzzy" in line
        elif match is not None:
            keyword = match[1]
            entry[keyword] = ast.literal_eval(match[2])
        elif line.startswith('"') and keyword:
            entry[keyword] += ast.literal_eval(line)


def _pairs_of(entry: dict[str, str]) -> Iterator[Pair]:
    for english, french in (("msgid", "msgstr"), ("msgid", "msgstr[0]"), ("msgid_plural", "msgstr[1]")):
        if entry.get(english) and entry.get(french):
            yield entry[english], entry[french]
