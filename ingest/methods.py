"""Other ways to divide a text than by its structure: sentences, windows of tokens, pages, and where the meaning turns.

Like ``chunking.split`` they work on spans, so that every chunk is a slice of the text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, Literal, TypeAlias

import numpy as np

from rag_pgvector.ingest.dividing import Atom, TokenCount, sentence_atoms, word_atoms
from rag_pgvector.ingest.loaders import Piece

__all__ = ["Embed", "Method", "by_page", "marked", "turns", "windows"]

Method: TypeAlias = Literal["structure", "paragraph", "sentence", "tokens", "page", "semantic"]
#: Texts to vectors, one row each.
Embed: TypeAlias = Callable[[list[str]], Any]

#: The share of neighbours that a turn of meaning lies above (LangChain's SemanticChunker takes 95 %).
_TURN = 95
_MIN_SENTENCES = 4


def by_page(pieces: Sequence[Piece]) -> Iterator[Piece]:
    """The sections of a page as one piece, under the first one's headings; all of them where there are no pages."""
    for rows, run in groupby(pieces, key=lambda piece: (not piece.blocks, piece.page_or_row)):
        group = list(run)
        if rows[0]:
            yield from group
        else:
            blocks = tuple(block for piece in group for block in piece.blocks)
            yield replace(group[0], char_end=group[-1].char_end, blocks=blocks)


def windows(
    text: str, start: int, end: int, *, size: int, overlap: int, count: TokenCount
) -> Iterator[tuple[int, int]]:
    """Runs of whole words of up to ``size`` tokens, each repeating up to ``overlap`` tokens of the one before."""
    words = list(word_atoms(text, start, end, size, count))
    at = 0
    while at < len(words):
        total, upto = words[at].tokens, at + 1
        while upto < len(words) and total + words[upto].tokens <= size:
            total += words[upto].tokens
            upto += 1
        while upto - at > 1 and count(text[words[at].start : words[upto - 1].end]) > size:  # need not add up
            upto -= 1
        yield words[at].start, words[upto - 1].end
        if upto == len(words):
            return
        back, repeated = upto, 0
        while back - 1 > at and repeated + words[back - 1].tokens <= overlap:
            back -= 1
            repeated += words[back].tokens
        at = back


def turns(text: str, pieces: Sequence[Piece], *, size: int, count: TokenCount, embed: Embed) -> frozenset[int]:
    """Where sentences begin whose neighbourhood means something else than the one before.

    G. Kamradt's method: each sentence is embedded with the one before and after it, and the text turns where the cosine
    distance of neighbours lies above the 95th percentile of the document's.
    """
    spans: list[tuple[int, int]] = []
    texts: list[str] = []
    for piece in pieces:
        atoms = list(sentence_atoms(text, piece.blocks, size, count)) if piece.blocks else []
        if len(atoms) < _MIN_SENTENCES:
            continue
        for at, atom in enumerate(atoms):
            spans.append((at, atom.start))
            texts.append(text[atoms[max(0, at - 1)].start : atoms[min(len(atoms) - 1, at + 1)].end])
    if not texts:
        return frozenset()
    vectors = np.asarray(embed(texts), dtype=np.float32)
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    distances = 1 - np.einsum("ij,ij->i", vectors[:-1], vectors[1:])
    inside = np.array([at > 0 for at, _ in spans[1:]], dtype=bool)
    if not inside.any():
        return frozenset()
    above = float(np.percentile(distances[inside], _TURN))
    return frozenset(
        start for (_, start), far, own in zip(spans[1:], distances, inside, strict=True) if own and far > above
    )


def marked(atoms: Sequence[Atom], starts: frozenset[int]) -> list[Atom]:
    """The atoms, those at ``starts`` beginning a chunk."""
    return [replace(atom, fresh=True, inner=False) if atom.start in starts else atom for atom in atoms]
