"""Text: corpora, streams of batches, baselines, and a character model."""
