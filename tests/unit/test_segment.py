"""Merging segments is the same as making one of their living documents."""

from __future__ import annotations

import random
import struct

import numpy as np
import pytest

from rag_pgvector import segment
from rag_pgvector.analysis import Terms
from rag_pgvector.segment import Old, Part, merged, part_of, rows_of

OWNER = ("tenant", "scope")


def read(part: Part) -> list[Old]:
    """The rows that a segment is written as."""
    data, at = b"".join(rows_of(part, OWNER)), 0
    found: list[Old] = []

    def field() -> bytes | None:
        nonlocal at
        (size,) = struct.unpack_from(">i", data, at)
        at += 4 + max(size, 0)
        return None if size < 0 else data[at - size : at]

    def elements(array: bytes) -> list[bytes]:
        _, _, _, count, _ = struct.unpack_from(">iiiii", array)
        start, out = 20, []
        for _ in range(count):
            (size,) = struct.unpack_from(">i", array, start)
            out.append(array[start + 4 : start + 4 + size])
            start += 4 + size
        return out

    while at < len(data):
        assert struct.unpack_from(">h", data, at) == (8,)
        at += 2
        name, _, tenant, scope, term, postings, terms, ends = (field() for _ in range(8))
        assert (tenant, scope) == (b"tenant", b"scope")
        assert name is not None
        assert term is not None
        assert postings is not None
        held = None if terms is None else [each.decode() for each in elements(terms)]
        upto = None if ends is None else [int.from_bytes(each, "big") for each in elements(ends)]
        found.append((int.from_bytes(name, "big"), term.decode(), postings, held, upto))
    return found


def documents_of(draw: random.Random, seqs: list[int]) -> list[tuple[int, Terms]]:
    words = [f"wörd{i}" for i in range(30)]
    found = []
    for seq in seqs:
        counts = {word: draw.randint(1, 3) for word in draw.sample(words, draw.randint(0, 9))}
        found.append((seq, Terms(sum(counts.values()), counts)))
    return found


@pytest.mark.parametrize("seed", range(8))
def test_merged_is_made_of_the_living(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment, "BLOCK", 4)
    monkeypatch.setattr(segment, "BUCKET", 5)
    draw = random.Random(seed)
    seqs = draw.sample(range(1 << 30), 120)
    parts = [sorted(seqs[:20]), sorted(seqs[20:60]), sorted(seqs[60:])]  # their ranges overlap
    documents = {seq: terms for part in parts for seq, terms in documents_of(draw, part)}
    rows: list[Old] = []
    for n, part in enumerate(parts):
        monkeypatch.setattr(segment, "BUCKETED", 1_000 if n % 2 else 0)
        rows += read(part_of([(seq, documents[seq]) for seq in part]))
    assert {terms is None for _, _, _, terms, _ in rows} == {True, False}
    dead = np.array(draw.sample(seqs, 30) if seed else [], dtype=np.int64)
    draw.shuffle(rows)
    for again in range(2):  # what was merged is merged again
        made = merged(rows, dead)
        assert made is not None
        monkeypatch.setattr(segment, "BUCKETED", 0)
        living = part_of([(seq, documents[seq]) for seq in sorted(set(seqs).difference(dead.tolist()))])
        assert made.head == living.head
        assert list(made.vocabulary) == list(living.vocabulary)
        for name in ("seqs", "lengths", "words", "documents", "tf"):
            assert np.array_equal(getattr(made, name), getattr(living, name)), (name, again)
        rows = read(made)
    assert merged(rows, np.array(seqs, dtype=np.int64)) is None
