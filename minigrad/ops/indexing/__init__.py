"""Read and write elements at indices."""
