"""BM25 of postings against the formula written out, however far apart the documents' numbers are."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_pgvector import bm25
from rag_pgvector.bm25 import Block, rank

#: seq -> length, and how often each of three terms stands in it
DOCUMENTS = st.dictionaries(
    st.one_of(st.integers(1, 60), st.integers(1, 2**40)),
    st.tuples(st.integers(1, 400), st.tuples(*[st.integers(0, 3)] * 3)),
    max_size=25,
)


def blocks_of(documents: dict[int, tuple[int, tuple[int, ...]]], segments: int) -> list[Block]:
    """Each term's postings in some segments, as they are stored."""
    found: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
    for at, (seq, (length, counts)) in enumerate(sorted(documents.items())):
        for term, tf in enumerate(counts):
            if tf:
                found.setdefault((term, at % segments), []).append((seq, tf, length))
    made = []
    for (term, _), postings in found.items():
        while postings:
            name = postings[0][0]
            near = [each for each in postings if each[0] - name < 2**31]
            postings = postings[len(near) :]
            data = b"".join(struct.pack(">q", seq - name << 32 | tf << 21 | length) for seq, tf, length in near)
            made.append(Block(term, name, data))
    return made


@given(
    documents=DOCUMENTS,
    dead=st.lists(st.integers(1, 60), unique=True),
    weights=st.tuples(*[st.integers(1, 3)] * 3),
    segments=st.integers(1, 3),
    k=st.integers(1, 30),
)
def test_it_is_the_formula(
    documents: dict[int, tuple[int, tuple[int, ...]]], dead: list[int], weights: tuple[int, ...], segments: int, k: int
) -> None:
    alive = {seq: each for seq, each in documents.items() if seq not in dead}
    total = sum(length for length, _ in alive.values())
    expected: dict[int, float] = {}
    for term, weight in enumerate(weights):
        df = sum(counts[term] > 0 for _, counts in alive.values())
        idf = weight * math.log(1 + (len(alive) - df + 0.5) / (df + 0.5))
        for seq, (length, counts) in alive.items():
            if tf := counts[term]:
                norm = 1.2 * (0.25 + 0.75 * length * len(alive) / total)
                expected[seq] = expected.get(seq, 0.0) + idf * tf / (tf + norm)
    found = []
    for short in (0, 2**62):  # sorted, and in an array over all numbers
        if short and max(documents, default=0) > 10_000:
            continue
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(bm25, "_SPARSE", 0)
            patch.setattr(bm25, "_SHORT", short)
            ranking = rank(
                blocks_of(documents, segments),
                weights,
                documents=len(alive),
                length=total,
                dead=np.array(dead, dtype=np.int64),
                k1=1.2,
                b=0.75,
            )
        assert dict(zip(ranking.seqs.tolist(), ranking.scores.tolist(), strict=True)) == pytest.approx(expected)
        everything = ranking.best(None)
        assert everything[0] == sorted(everything[0], key=lambda seq: (-dict(zip(*everything, strict=True))[seq], seq))
        assert ranking.best(k) == (everything[0][:k], everything[1][:k])
        found.append(everything)
    assert len(found) == 1 or found[0] == found[1]
