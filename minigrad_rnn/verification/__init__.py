"""Verification: every implementation of a network's gradient beside the others."""
