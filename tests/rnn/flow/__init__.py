"""Tests of minigrad_rnn.flow."""
