"""Connectionist temporal classification: the loss, its lattice, and decoders."""
