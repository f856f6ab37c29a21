"""Sequence to sequence: input-output shapes, attention, encoder-decoder, search and sampling."""
