"""Whole sequences in C on the CPU, compiled at first use; no compiler is needed, everything also runs without."""
