"""One segment of a keyword index in arrays: made of documents' terms or of older segments, and written as rows. No I/O.

How a posting is laid out, and what buckets are, stands in keyword_schema.py.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rag_pgvector.analysis import Terms

__all__ = ["BUCKETED", "Head", "Old", "Part", "head_of", "held", "merged", "part_of", "rows_of"]

#: Postings in one block, so that four blocks fill a page of 8 kB.
BLOCK = 224
#: A segment of up to so many documents, which will be merged again soon, has its terms in buckets of about so many
#: postings: 500 documents of 70 words are 275 rows instead of 4,756.
BUCKETED, BUCKET = 8_192, 128

_TF_SHIFT, _SEQ_SHIFT = 21, 32
_TF, _LENGTH = 2**11 - 1, 2**21 - 1

#: A row of postings as it is stored: segment, term, postings, and of a bucket its terms and where each one's end.
Old = tuple[int, str, bytes, Sequence[str] | None, Sequence[int] | None]


class Head(NamedTuple):
    """What is kept of a segment beside its postings: its least and greatest ``seq``, how many documents of what length
    in all, and over how many buckets its terms are spread (0: each has rows of its own)."""

    name: int
    last: int
    documents: int
    length: int
    buckets: int


@dataclass(frozen=True, slots=True)
class Part:
    """A segment: its documents in the order of ``seq``; for each posting the indices of word and document, ascending,
    and the frequency."""

    head: Head
    seqs: NDArray[np.int64]
    lengths: NDArray[np.int64]
    vocabulary: Sequence[str]
    words: NDArray[np.int64]
    documents: NDArray[np.int64]
    tf: NDArray[np.int64]


def head_of(documents: Sequence[tuple[int, Terms]]) -> Head:
    """The head of a segment of these documents, which are in the order of ``seq``."""
    length = sum(terms.length for _, terms in documents)
    buckets = 0 if len(documents) > BUCKETED else max(1, length // BUCKET)
    return Head(documents[0][0], documents[-1][0], len(documents), length, buckets)


def part_of(documents: Sequence[tuple[int, Terms]]) -> Part:
    """A segment of documents, which are in the order of ``seq``."""
    vocabulary, words, document, tf = _sorted(documents)
    seqs = np.array([seq for seq, _ in documents], dtype=np.int64)
    lengths = np.array([terms.length for _, terms in documents], dtype=np.int64)
    return Part(head_of(documents), seqs, lengths, vocabulary, words, document, tf)


def held(rows: Sequence[Old]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """``seq`` and length of the documents that these rows are of."""
    mine = [(row[0], row[2]) for row in rows if row[1] == ""]
    packed, segments = _unpacked([data for _, data in mine], [name for name, _ in mine], [len(d) >> 3 for _, d in mine])
    return segments + (packed >> _SEQ_SHIFT), packed & _LENGTH


def merged(rows: Sequence[Old], dead: NDArray[np.int64]) -> Part | None:
    """One segment of all rows of several, without the ``dead`` and without buckets; None where nobody is left."""
    seqs, lengths = held(rows)
    alive = np.isin(seqs, dead, invert=True) if len(dead) else np.ones(len(seqs), dtype=bool)
    order = np.argsort(seqs[alive])
    seqs, lengths = seqs[alive][order], lengths[alive][order]
    if not len(seqs):
        return None
    code: dict[str, int] = {}
    codes: list[int] = []
    sizes: list[int] = []
    named: list[int] = []
    data: list[bytes] = []
    for segment, term, postings, terms, ends in rows:
        if terms is not None and ends is not None:
            codes += [code.setdefault(each, len(code)) for each in terms]
            sizes += [end - start for start, end in pairwise((0, *ends))]
            named += [segment] * len(terms)
        elif term:
            codes.append(code.setdefault(term, len(code)))
            sizes.append(len(postings) >> 3)
            named.append(segment)
        else:
            continue
        data.append(postings)
    packed, segments = _unpacked(data, named, sizes)
    word = np.repeat(np.array(codes, dtype=np.int64), sizes)
    of = segments + (packed >> _SEQ_SHIFT)
    place = np.minimum(np.searchsorted(seqs, of), len(seqs) - 1)
    kept = seqs[place] == of
    packed, word, place = packed[kept], word[kept], place[kept]
    vocabulary = sorted(code)
    rank = np.empty(len(code), dtype=np.int64)
    rank[[code[term] for term in vocabulary]] = np.arange(len(code))
    order = np.argsort(rank[word] * len(seqs) + place)
    used, words = np.unique(rank[word][order], return_inverse=True)
    return Part(
        Head(int(seqs[0]), int(seqs[-1]), len(seqs), int(lengths.sum()), 0),
        seqs,
        lengths,
        [vocabulary[i] for i in used.tolist()],
        words.reshape(-1).astype(np.int64),
        place[order],
        packed[order] >> _TF_SHIFT & _TF,
    )


def _unpacked(
    data: Sequence[bytes], segments: Sequence[int], sizes: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Postings as numbers, and the name of each one's segment."""
    packed = np.frombuffer(b"".join(data), dtype=">i8").astype(np.int64)
    return packed, np.repeat(np.array(segments, dtype=np.int64), np.array(sizes, dtype=np.int64))


_END = np.dtype([("size", ">i4"), ("value", ">i4")])
_length = struct.Struct(">i").pack
_block_number = struct.Struct(">ii").pack
_array_head = struct.Struct(">iiiiii").pack  # bytes, dimensions, nulls, type, elements, first index
_INT4, _TEXT = 23, 25
_NO_TERMS = _length(-1) * 2


def rows_of(part: Part, owner: tuple[str, str]) -> Iterator[bytes]:
    """A segment's rows in PostgreSQL's binary COPY format, header and trailer aside."""
    segment = part.head.name
    words, document, tf = part.words, part.documents, part.tf
    names = [word.encode() for word in part.vocabulary]
    keys: list[tuple[bytes, Sequence[bytes]]] = [(name, ()) for name in names]
    counts = np.bincount(words, minlength=len(names))
    if buckets := part.head.buckets:
        bucket = np.fromiter(map(zlib.crc32, names), dtype=np.int64, count=len(names)) % buckets
        order = np.argsort(bucket[words], kind="stable")
        document, tf = document[order], tf[order]
        by_bucket = np.argsort(bucket, kind="stable")
        ends = np.cumsum(counts[by_bucket])
        edges = np.searchsorted(bucket[by_bucket], np.arange(buckets + 1)).tolist()
        used = [(i, by_bucket[a:b].tolist()) for i, (a, b) in enumerate(pairwise(edges)) if a < b]
        keys = [(f"\x01{i}".encode(), [names[word] for word in mine]) for i, mine in used]
        counts = np.bincount(bucket[words], minlength=buckets)[[i for i, _ in used]]
        local = ends - np.repeat(np.cumsum(counts) - counts, [len(mine) for _, mine in used])
        upto = np.empty(len(local), dtype=_END)
        upto["size"], upto["value"] = 4, local
        limits = memoryview(upto.tobytes())
    heads = (part.seqs - segment) << _SEQ_SHIFT | part.lengths
    packed = np.concatenate([heads, heads[document] | (tf << _TF_SHIFT)]).astype(">i8")
    starts = np.cumsum([0, len(heads), *counts.tolist()]).tolist()
    data = memoryview(packed.tobytes())
    width = packed.itemsize
    head = struct.pack(">hiq", 8, 8, segment)
    whose = b"".join(_length(len(value)) + value for value in (name.encode() for name in owner))
    out: list[bytes | memoryview] = []
    size = place = 0
    for (key, terms), (start, end) in zip([(b"", ()), *keys], pairwise(starts), strict=True):
        named = whose + _length(len(key)) + key
        held: Sequence[bytes | memoryview] = (_NO_TERMS,)
        if terms:
            listed = b"".join([_length(len(term)) + term for term in terms])
            held = (
                _array_head(20 + len(listed), 1, 0, _TEXT, len(terms), 1),
                listed,
                _array_head(20 + len(terms) * _END.itemsize, 1, 0, _INT4, len(terms), 1),
                limits[place * _END.itemsize : (place + len(terms)) * _END.itemsize],
            )
            place += len(terms)
        step = end - start if terms else BLOCK
        for block, at in enumerate(range(start, end, step)):
            count = min(step, end - at)
            out += (
                head,
                _block_number(4, block),
                named,
                _length(count * width),
                data[at * width : (at + count) * width],
                *held,
            )
            size += count * width
        if size >= 1 << 18:
            yield b"".join(out)
            out, size = [], 0
    yield b"".join(out)


def _sorted(
    documents: Sequence[tuple[int, Terms]],
) -> tuple[list[str], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The vocabulary, and for each posting, ordered by word and document, the indices of both and the frequency."""
    indices = np.array([terms.index for _, terms in documents], dtype=np.int64)
    batch = documents[0][1].batch
    if batch is not None and all(t.batch is batch for _, t in documents) and bool((np.diff(indices) > 0).all()):
        vocabulary, word, text, tf = batch.postings
        place = np.full(len(batch), -1, dtype=np.int64)
        place[indices] = np.arange(len(documents))
        document = place[text]
        listed = document >= 0
        return vocabulary, word[listed], document[listed], tf[listed]
    words: list[str] = []
    frequencies: list[int] = []
    for _, terms in documents:
        words.extend(terms.counts)
        frequencies.extend(terms.counts.values())
    vocabulary = sorted(set(words))
    code = {word: i for i, word in enumerate(vocabulary)}
    codes = np.fromiter(map(code.__getitem__, words), dtype=np.int64, count=len(words))
    order = np.argsort(codes, kind="stable")  # documents stay in the order of seq
    document = np.repeat(np.arange(len(documents)), [len(terms.counts) for _, terms in documents])
    return vocabulary, codes[order], document[order], np.array(frequencies, dtype=np.int64)[order]
