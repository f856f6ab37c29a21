"""Text: corpora, parallel streams of chunks, and a character model."""

from .corpus import Corpus, Document, Vocabulary, read_corpus, split
from .model import CharacterModel, bits_per_character
from .streams import Chunk, Streams

__all__ = ["Corpus", "Document", "Vocabulary", "read_corpus", "split"]
__all__ += ["CharacterModel", "Chunk", "Streams", "bits_per_character"]
