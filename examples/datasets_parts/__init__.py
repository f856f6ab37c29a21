"""The parts of `datasets.py`: pinned distributions, their download and cache, and a reader for each kind of data."""
