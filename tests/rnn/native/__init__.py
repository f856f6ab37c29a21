"""Tests of the sequences compiled from C."""
