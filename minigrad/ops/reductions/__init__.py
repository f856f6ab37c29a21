"""Reduce, accumulate, sort and compare along axes."""
