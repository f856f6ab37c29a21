"""Pad, tile, insert, delete and diagonals."""
