"""Text: corpora, vocabularies, parallel streams of chunks, and a character model."""

from .byte_vocabulary import ByteVocabulary
from .corpus import Corpus, Document, read_corpus, split
from .model import CharacterModel, bits_per_character
from .saved_vocabulary import load_vocabulary
from .streams import Chunk, Streams
from .subwords import SubwordVocabulary
from .vocabulary import Vocabulary
from .word_vocabulary import WordVocabulary, tokenize

__all__ = ["ByteVocabulary", "Corpus", "Document", "Vocabulary", "WordVocabulary", "load_vocabulary", "read_corpus"]
__all__ += ["CharacterModel", "Chunk", "Streams", "SubwordVocabulary", "bits_per_character", "split", "tokenize"]
