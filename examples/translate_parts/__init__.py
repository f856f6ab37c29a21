"""The parts of `translate.py`: pairs and their split, baselines, scores, pictures of attention."""
