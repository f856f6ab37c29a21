"""`movie_reviews` returns real reviews of films, each with whether its author liked it."""

from __future__ import annotations

import csv
import io
from typing import NamedTuple

from .members import read_member


class Review(NamedTuple):
    """One review of a film."""

    text: str
    positive: bool
    source: str
    """`imdb`, by a user and some 1,000 characters long, or `rotten_tomatoes`, a critic's sentence in lower case."""


def movie_reviews() -> list[Review]:
    """Return the reviews in the order of their file. A text that comes again is left out: no split could be clean."""
    content = read_member("movie-reviews", "movie_reviews/data/combined_movie_reviews.csv").decode("utf-8")
    reviews: dict[str, Review] = {}
    for row in csv.DictReader(io.StringIO(content, newline="")):
        text = "\n".join(line.strip() for line in row["text"].split("<br />") if line.strip())
        reviews.setdefault(text, Review(text, row["label"] == "1", row["source"]))
    return list(reviews.values())
