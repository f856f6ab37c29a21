"""The explorer: one page, without a network or a build step, that shows a model's BPTT with its true numbers."""

from .explorer_page import explore

__all__ = ["explore"]
