"""The model's rules of searching: by a question or a vector, for diverse results, for many questions at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from rag_pgvector import Chunk, SearchOptions
from tests.integration.keyword_oracle import bm25
from tests.isolation.world import Who, World, embed

__all__ = ["FILTERS", "OPTIONS", "WHO", "SearchRules"]

TENANTS = ("acme", "ACME", "acme.1", "bolt")
SCOPES = ("", "", "one", "two")

WHO = st.tuples(st.sampled_from(TENANTS), st.sampled_from(SCOPES))
FILTERS = st.one_of(st.none(), st.fixed_dictionaries({"n": st.one_of(st.integers(0, 3), st.just({"$gte": 2}))}))
OPTIONS = st.sampled_from(
    [None, SearchOptions(exact=True), SearchOptions(exact=False), SearchOptions(exact=False, ef_search=7)]
)
QUESTIONS = ("What is the yearly fee of 1?", "Who pays?", "?")


class SearchRules(RuleBasedStateMachine):
    """The half of ``model.Isolation`` that needs only its oracle."""

    world: World

    def visible(self, who: Who, filter: dict[str, Any] | None = None) -> list[Chunk]:
        raise NotImplementedError

    def call(self, who: Who, name: str, *arguments: Any, **options: Any) -> Any:
        raise NotImplementedError

    def among(self, found: Sequence[Chunk], visible: Sequence[Chunk]) -> None:
        raise NotImplementedError

    @rule(who=WHO, k=st.sampled_from([1, 4, 200]), filter=FILTERS, options=OPTIONS, words=st.booleans())
    def search(
        self, who: Who, k: int, filter: dict[str, Any] | None, options: SearchOptions | None, words: bool
    ) -> None:
        question = QUESTIONS[0]
        asked: dict[str, Any] = {"query": question} if words else {"vector": embed([question])[0]}
        found = self.call(who, "search", k=k, filter=filter, options=options, **asked)
        visible = self.visible(who, filter)
        assert len(found) == min(k, len(visible))
        self.among([hit.chunk for hit in found], visible)
        if found.plan.kind == "exact":
            nearest = sorted(_distance(question, chunk) for chunk in visible)[:k]
            assert np.allclose([hit.distance for hit in found], nearest, atol=1e-5)

    @rule(who=WHO, filter=FILTERS)
    def totals(self, who: Who, filter: dict[str, Any] | None) -> None:
        numbers = {chunk.metadata.get("n") for chunk in self.visible(who, filter)}
        found = self.call(who, "totals", "n", filter=filter)
        assert found.greatest is None or int(found.greatest) in numbers
        assert sum(each.rows for each in self.call(who, "totals_by", "n", "n", filter=filter).values()) == found.rows

    @rule(who=WHO, keep=st.booleans())
    def calibrate(self, who: Who, keep: bool) -> None:
        mark = self.world.canaries.new(who)
        self.call(who, "set_calibration", {"mark": mark})
        assert self.call(who, "calibration").content["mark"] == mark
        assert self.call(who, "corpus_fingerprint")
        if not keep:
            self.call(who, "set_calibration", None)

    @rule(who=WHO, k=st.sampled_from([1, 4, 200]), filter=FILTERS, question=st.sampled_from(QUESTIONS))
    def search_by_keyword(self, who: Who, k: int, filter: dict[str, Any] | None, question: str) -> None:
        """Scores are those of a world where nobody else is: whose texts count would show in them."""
        found = self.call(who, "search", question, k=k, filter=filter, options=SearchOptions(mode="keyword"))
        visible, passing = self.visible(who), self.visible(who, filter)
        self.among([hit.chunk for hit in found], passing)
        if found.plan.unindexed == 0:  # else some of them were written by plain SQL
            scores = bm25({str(i): chunk.content for i, chunk in enumerate(visible)}, question)
            allowed = [score for i, score in scores.items() if visible[int(i)] in passing]
            assert np.allclose([hit.score for hit in found], sorted(allowed, reverse=True)[:k], rtol=1e-5)

    @rule(who=WHO, filter=FILTERS)
    def notebook(self, who: Who, filter: dict[str, Any] | None) -> None:
        visible = sorted(chunk.content for chunk in self.visible(who, filter))
        frame = self.call(who, "to_pandas", filter=filter)
        assert sorted(frame["content"]) == visible
        assert len(self.call(who, "embeddings", filter=filter)) == len(visible)
        if visible:
            (cluster,) = self.call(who, "clusters", 1, filter=filter, representatives=200)
            assert sorted(chunk.content for chunk in cluster.representatives) == visible

    @rule(who=WHO, k=st.sampled_from([1, 4, 200]), filter=FILTERS, options=OPTIONS, words=st.booleans())
    def search_mmr(
        self, who: Who, k: int, filter: dict[str, Any] | None, options: SearchOptions | None, words: bool
    ) -> None:
        asked: dict[str, Any] = {"query": QUESTIONS[0]} if words else {"vector": embed(QUESTIONS[:1])[0]}
        found = self.call(who, "search_mmr", k=k, filter=filter, options=options, **asked)
        visible = self.visible(who, filter)
        assert len(found) == min(k, len(visible))
        self.among([hit.chunk for hit in found], visible)

    @rule(who=WHO, k=st.sampled_from([1, 4, 200]), filter=FILTERS, options=OPTIONS, words=st.booleans())
    def search_many(
        self, who: Who, k: int, filter: dict[str, Any] | None, options: SearchOptions | None, words: bool
    ) -> None:
        vectors = self.call(who, "embed_queries", QUESTIONS)
        asked: dict[str, Any] = {"queries": QUESTIONS} if words else {"vectors": vectors}
        found = self.call(who, "search_many", k=k, filter=filter, options=options, **asked)
        assert len(found) == len(QUESTIONS)
        visible = self.visible(who, filter)
        for each in found:
            assert len(each) == min(k, len(visible))
            self.among([hit.chunk for hit in each], visible)


def _distance(question: str, chunk: Chunk) -> float:
    one, other = np.asarray(embed([question])[0]), np.asarray(embed([chunk.content])[0])
    return float(1 - one @ other / np.linalg.norm(one) / np.linalg.norm(other))
