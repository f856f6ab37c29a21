"""The parts of speech.py: a synthesiser, its digit strings, their spectra, and pictures."""
