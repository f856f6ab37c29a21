"""Sequence to sequence: shapes of input and output, attention, encoder-decoder, search and sampling."""
