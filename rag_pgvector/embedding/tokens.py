"""Tokens counted without encoding a text again and again.

Chunking counts every character of a document two or three times, and a tokeniser encodes about two million characters a
second. One that divides at white space first, as BERT's does, gives a text as many tokens as its words have, and words
repeat.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

__all__ = ["token_counter"]

#: Words whose counts are kept, 100 bytes each.
_MOST_WORDS = 50_000
_LONGEST_WORD = 40
#: White space for Python, and for BERT's normaliser control characters, which join what stands on their sides.
_JOINING = re.compile(r"[\x0b\x0c\x1c-\x1f\x85]")


def token_counter(tokenizer: Any) -> Callable[[str], int]:
    """How many tokens a text has, special ones left out, by a tokeniser of the library ``tokenizers``."""

    def encoded(text: str) -> int:
        return len(tokenizer.encode(text, add_special_tokens=False))

    kinds = type(tokenizer.pre_tokenizer).__name__, type(tokenizer.normalizer).__name__
    if kinds != ("BertPreTokenizer", "BertNormalizer"):
        return encoded
    known: dict[str, int] = {}

    def by_words(text: str) -> int:
        if _JOINING.search(text):
            return encoded(text)
        words = text.split()
        found = [known.get(word) for word in words]
        if None not in found:
            return sum(found)  # type: ignore[arg-type]  # none is None
        new = list({word: None for word, count in zip(words, found, strict=True) if count is None})
        learnt = dict(zip(new, _counts(tokenizer, new), strict=True))
        if len(known) > _MOST_WORDS:
            known.clear()
        known.update((word, count) for word, count in learnt.items() if len(word) <= _LONGEST_WORD)
        return sum(learnt[word] if count is None else count for word, count in zip(words, found, strict=True))

    return by_words


def _counts(tokenizer: Any, words: list[str]) -> list[int]:
    """The number of tokens of each word, all encoded at once."""
    counts = [0] * len(words)
    at, end = 0, len(words[0])
    for start, _ in tokenizer.encode(" ".join(words), add_special_tokens=False).offsets:
        while start > end:
            at += 1
            end += 1 + len(words[at])
        counts[at] += 1
    return counts
