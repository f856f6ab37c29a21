"""Recurrent networks: any cell in layers and directions, the ones with names, truncated BPTT."""
