"""Verification: compare every implementation of a network's gradient with the others."""
