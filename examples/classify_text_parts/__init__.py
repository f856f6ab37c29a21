"""The parts of `classify_text.py`: the tasks, the baseline, and the picture of what is taken for what."""
