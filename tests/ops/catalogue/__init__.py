"""Samples of every operation, in one file for each file of `minigrad/ops`."""

import importlib
import pkgutil

from tests.ops.catalogue.sample import Sample as Sample

_FILES = [importlib.import_module(f"{__name__}.{file.name}") for file in pkgutil.iter_modules(__path__)]
CATALOGUE = [sample for file in _FILES for sample in getattr(file, "CATALOGUE", [])]
EDGES = [sample for file in _FILES for sample in getattr(file, "EDGES", [])]
