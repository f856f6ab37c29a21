"""`load_vocabulary` makes the vocabulary again whose `state_dict` was saved with a model."""

from collections.abc import Mapping
from typing import Any

from minigrad.validation import check_type

from .byte_vocabulary import ByteVocabulary
from .subwords import SubwordVocabulary
from .vocabulary import Vocabulary
from .word_vocabulary import WordVocabulary

AnyVocabulary = Vocabulary | ByteVocabulary | WordVocabulary | SubwordVocabulary
_KINDS: dict[frozenset[str], type[AnyVocabulary]] = {
    frozenset(("characters", "unknown")): Vocabulary,
    frozenset(("values", "unknown")): ByteVocabulary,
    frozenset(("words", "unknown")): WordVocabulary,
    frozenset(("characters", "merges", "unknown")): SubwordVocabulary,
}
"""The keys of a state tell whose it is."""


def load_vocabulary(state: Mapping[str, Any]) -> AnyVocabulary:
    """Return the vocabulary that `state` describes, of whichever kind.

    Args:
        state: what a vocabulary's `state_dict` returned, such as from a checkpoint's metadata.

    Raises:
        TypeError: no dictionary, or values of other types. ValueError: no vocabulary has these keys, or these values.

    >>> from minigrad_rnn.text import ByteVocabulary
    >>> type(load_vocabulary(ByteVocabulary().state_dict())).__name__
    'ByteVocabulary'
    """
    check_type("load_vocabulary", Mapping, "what state_dict returned", state=state)
    kind = _KINDS.get(frozenset(state))
    if kind is None:
        want = " or ".join(f"{' and '.join(sorted(keys, reverse=True))} ({_KINDS[keys].__name__})" for keys in _KINDS)
        raise ValueError(f"load_vocabulary: state: got the keys {sorted(map(str, state))}, want {want}")
    return kind(**state)
