"""The parts of `char_rnn.py`: settings, training, checkpoints, baselines, and what it prints and draws."""
