"""Text: corpora, parallel streams of chunks, and a character model."""
