"""The parts of `tag.py`: baselines that count, and the page on which its tags are seen."""
