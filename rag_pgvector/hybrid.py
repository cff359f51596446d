"""Search by words, by vectors, or by both at once: plans that put the two arms together."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

from rag_pgvector import fusion, keyword
from rag_pgvector.analysis import Question
from rag_pgvector.config import Mode, SearchOptions
from rag_pgvector.plan import Plan, together
from rag_pgvector.read import CHUNK_WIDTH, Candidate, Where, chunk_of
from rag_pgvector.search import SIMILARITIES, Columns, Found
from rag_pgvector.table import Table
from rag_pgvector.types import ScoredChunk, SearchPlan, SearchResult
from rag_pgvector.vectors import VectorParam

__all__ = ["Asked", "DensePlan", "resolve_mode", "search_all"]

#: Plans the search by vectors for so many chunks, and what is read of them.
DensePlan = Callable[[VectorParam, int, Columns], Plan[Found]]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One question of a search: what can be looked up of it, and what the result has to say about that.

    ``mode`` is what will be done; ``note`` says in the plan why that is not what the caller left open or asked for.
    """

    mode: Mode
    text: str | None
    vector: VectorParam | None
    note: str = ""
    warnings: tuple[str, ...] = ()


def resolve_mode(
    table: Table, options: SearchOptions, *, text: bool, vector: bool
) -> tuple[Mode, str, tuple[str, ...]]:
    """What a search is to do, why in words if that was not the caller's choice, and what to warn of.

    A table without a keyword index, which is a peer's, is searched by vectors alone.
    """
    mode = options.mode or ("hybrid" if text else "dense")
    if mode == "hybrid" and not table.layout.native:
        note = "no keyword index: the table is laid out by another library"
        return "dense", note, (f"hybrid search became dense: {note}",) if options.mode == "hybrid" else ()
    if mode == "keyword":
        table.require_native("keyword index")
    return mode, "", ()


def search_all(
    table: Table,
    asked: Sequence[Asked],
    *,
    k: int,
    condition: Where | None,
    options: SearchOptions,
    dense: DensePlan,
) -> Plan[list[SearchResult]]:
    """The results of several questions. All arms of all of them go to the server together; what is read of both arms'
    hits follows, for those that are returned.

    ``condition`` is the caller's filter, for the keyword arm.
    """
    both: dict[int, _Both] = {}
    words: dict[int, Plan[Found]] = {}
    vectors: dict[int, Plan[Found]] = {}
    for i, each in enumerate(asked):
        if each.mode == "dense":
            assert each.vector is not None
            vectors[i] = dense(each.vector, k, "chunk")
            continue
        assert each.text is not None
        question = keyword.question_of(table, each.text)
        if each.mode == "keyword":
            words[i] = keyword.search(table, question, k=k, condition=condition, options=options)
        else:
            assert each.vector is not None
            both[i] = _Both(table, question, each.vector, k, condition, options, dense)
            words[i], vectors[i] = both[i].words(), both[i].vectors()
    # Words first: what a walk of the vector index sets holds for all that is sent after it.
    # What they bring is added up while the server walks that index.
    found = yield from _all([*words.values(), *vectors.values()], early=len(words))
    by_words, by_vectors = dict(zip(words, found, strict=False)), dict(zip(vectors, found[len(words) :], strict=True))
    fused = yield from _all([each.result(by_vectors[i], by_words[i]) for i, each in both.items()])
    results = dict(zip(both, fused, strict=True))
    for i, (hits, plan) in (by_words | by_vectors).items():
        if i not in both:
            results[i] = SearchResult([hit.scored(table) for hit in hits], plan)
    return [_annotated(results[i], each) for i, each in enumerate(asked)]


def _all(plans: Sequence[Plan[T]], *, early: int = 0) -> Plan[list[T]]:
    """What plans that only read return, side by side."""
    if len(plans) == 1:
        return [(yield from plans[0])]
    return (yield from together(plans, early=early))


_SEQ = operator.attrgetter("seq")


class _Share(NamedTuple):
    """How the arms are put together: the vectors' share of the score (None: by ranks), and why."""

    alpha: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class _Both:
    """A question by vectors and by words. Unless a condition has to be looked at, the arms bring numbers and scores
    alone, and chunks are read once it is known which are returned."""

    table: Table
    question: Question
    vector: VectorParam
    k: int
    condition: Where | None
    options: SearchOptions
    dense: DensePlan

    @property
    def deep(self) -> int:
        return max(self.k, self.options.candidates or fusion.CANDIDATES)

    @property
    def narrowed(self) -> bool:
        return keyword.is_narrowed(self.question, self.condition)

    def words(self) -> Plan[Found]:
        if not self.narrowed:
            return keyword.best(self.table, self.question, k=self.deep, options=self.options)
        return keyword.search(
            self.table,
            self.question,
            k=self.deep,
            condition=self.condition,
            options=self.options,
            vector=self.vector,
        )

    def vectors(self) -> Plan[Found]:
        return self.dense(self.vector, self.deep, "chunk and seq" if self.narrowed else "seq")

    def result(self, by_vectors: Found, by_words: Found) -> Plan[SearchResult]:
        """Both arms as one, when each is there."""
        for attempt in range(keyword.ATTEMPTS):
            if attempt:  # chunks were gone when they were to be read: somebody just wrote
                by_words = yield from self.words()
                by_vectors = yield from self.vectors()
            (vectors, _), (words, _) = by_vectors, by_words
            share = self._share(vectors, words)
            hits = self._fused(share, vectors, words, None)
            wanted = self._wanted(share, hits, vectors, words)
            if attempt == keyword.ATTEMPTS - 1:
                wanted = hits  # with some to spare for those that are gone
            asked = [each.hit.seq for each in wanted if not each.hit.row]
            if not asked:
                break
            rows = yield keyword.chunks_statement(self.table, asked, vector=self.vector)
            read = {row[-1]: row for row in rows}
            gone = set(asked).difference(read)
            vectors, words = (
                [
                    hit._replace(row=read[hit.seq], distance=read[hit.seq][CHUNK_WIDTH]) if hit.seq in read else hit
                    for hit in arm
                    if hit.seq not in gone
                ]
                for arm in (vectors, words)
            )
            hits = self._fused(share, vectors, words, self.k)
            if not gone:
                break
        return self._told(share, hits[: self.k], by_vectors, by_words)

    def _share(self, vectors: Sequence[Candidate], words: Sequence[Candidate]) -> _Share:
        if self.options.fusion == "rrf":
            return _Share(None, "reciprocal rank fusion")
        if self.options.alpha is not None:
            return _Share(self.options.alpha, "share of the vectors given")
        if self.table.alpha is not None:
            return _Share(self.table.alpha, "the collection's share of the vectors")
        return _Share(fusion.share(vectors, words), "share of the vectors by how sharp each arm is")

    def _fused(
        self, share: _Share, vectors: Sequence[Candidate], words: Sequence[Candidate], limit: int | None
    ) -> list[fusion.Fused[Candidate]]:
        if share.alpha is None:
            return fusion.reciprocal_ranks(vectors, words, key=_SEQ, limit=limit)
        return fusion.convex(
            vectors,
            words,
            key=_SEQ,
            alpha=share.alpha,
            keyword_complete=len(words) < self.deep,
            similarity=SIMILARITIES[self.table.config.distance],
            limit=limit,
        )

    def _wanted(
        self,
        share: _Share,
        hits: Sequence[fusion.Fused[Candidate]],
        vectors: Sequence[Candidate],
        words: Sequence[Candidate],
    ) -> Sequence[fusion.Fused[Candidate]]:
        """Those of all hits whose chunks have to be read to know the best ``k``.

        What only the words found is as far away as the last that the vectors found, or farther. Until its distance is
        known it stands where it would with that one's, so that what stands behind ``k`` whose distances are known
        cannot come before them. A walk may have missed it, though: the words' own best are read in any case.
        """
        if share.alpha is None or len(vectors) < self.deep:  # without a distance to compare: the others have no vector
            return hits[: self.k]
        first = {hit.seq for hit in words[: self.k]}
        known = 0
        wanted = []
        for each in hits:
            if known < self.k or each.hit.seq in first:
                wanted.append(each)
            known += each.hit.distance is not None
        return wanted

    def _told(
        self, share: _Share, hits: Sequence[fusion.Fused[Candidate]], by_vectors: Found, by_words: Found
    ) -> SearchResult:
        (vectors, vectors_plan), (words, words_plan) = by_vectors, by_words
        warnings: tuple[str, ...] = ()
        if unindexed := words_plan.unindexed:
            warnings = (f"keyword search cannot see {unindexed} chunks yet: run 'rag-pgvector index build'",)
        plan = SearchPlan(
            "hybrid",
            f"{len(vectors)} by vectors, {len(words)} by words; {share.reason}",
            parts=(vectors_plan, words_plan),
            alpha=None if share.alpha is None else round(share.alpha, 4),
            unindexed=unindexed,
            warnings=warnings,
        )
        chunks = [
            ScoredChunk(chunk_of(self.table, each.hit.row), each.score, each.hit.distance, each.keyword_score)
            for each in hits
        ]
        return SearchResult(chunks, plan)


def _annotated(result: SearchResult, asked: Asked) -> SearchResult:
    if not asked.note and not asked.warnings:
        return result
    plan = result.plan
    reason = f"{plan.reason} ({asked.note})" if asked.note else plan.reason
    return SearchResult(list(result), replace(plan, reason=reason, warnings=(*asked.warnings, *plan.warnings)))
