"""The parts of invest.py: the series, the models, and what is measured of their predictions."""
