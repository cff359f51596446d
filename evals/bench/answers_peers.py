"""What the peers' retrieval has to tell an answerable question from another: one similarity, and a threshold on it.

The stores of both frameworks are theirs, in memory, with the same vectors. The chunk that comes first is taken as the
answer (a scripted model that quotes its first source), right where it is one that answers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rag_pgvector.evals.confidence import at_threshold, measure
from rag_pgvector.evals.fit_prior import SHARES
from rag_pgvector.evals.in_memory import Embed
from rag_pgvector.evals.question_sets import QuestionSet

__all__ = ["similarity"]


def similarity(data: QuestionSet, embed: Embed, *, most: int | None = None, seed: int = 0) -> dict[str, Any]:
    """Both peers over the same questions as ``fit_prior.collect``, each with every measure of its similarity."""
    asked, right, groups = _questions(data, most, seed)
    return {
        "langchain": _figures(_langchain(data, embed, asked), right, groups),
        "llamaindex": _figures(_llamaindex(data, embed, asked), right, groups),
    }


Asked = list[tuple[str, frozenset[str], frozenset[str]]]


def _questions(data: QuestionSet, most: int | None, seed: int) -> tuple[Asked, list[str], list[str]]:
    """Question, the ids that are taken away, the ids that answer; kind; source document."""
    draw = np.random.default_rng(seed)
    questions = list(data.questions)
    if most is not None and most < len(questions):
        questions = [questions[at] for at in sorted(draw.choice(len(questions), most, replace=False))]
    asked: Asked = []
    kinds: list[str] = []
    groups: list[str] = []
    of_group: dict[str, set[str]] = {}
    for chunk, group in zip(data.chunks, data.groups, strict=True):
        of_group.setdefault(group, set()).add(chunk.id or "")
    for question in questions:
        if question.kind != "answerable":
            draw.random()
            continue
        for kind in ("answerable", "out_of_corpus", "near_miss"):
            if draw.random() >= SHARES[kind]:
                continue
            without = frozenset() if kind == "answerable" else question.passages
            if kind == "out_of_corpus":
                without |= of_group.get(question.group, set())
            asked.append((question.text, without, question.passages if kind == "answerable" else frozenset()))
            kinds.append(kind)
            groups.append(question.group)
    return asked, kinds, groups


def _figures(found: list[tuple[float, bool]], kinds: list[str], groups: list[str]) -> dict[str, Any]:
    scores, right = np.array([score for score, _ in found]), np.array([flag for _, flag in found])
    mine = np.array(kinds) == "answerable"
    given = scores >= 0.6
    return {
        "mix": measure(scores, right, groups=groups, intervals=True, resamples=200),
        "at_0.6": at_threshold(scores, right, threshold=0.6),
        "answered_of_answerable": float(given[mine].mean()),
        **{
            f"abstained_{kind}": float(1.0 - given[np.array(kinds) == kind].mean())
            for kind in ("out_of_corpus", "near_miss")
            if kind in kinds
        },
    }


def _langchain(data: QuestionSet, embed: Embed, asked: Asked) -> list[tuple[float, bool]]:
    from langchain_core.documents import Document
    from langchain_core.embeddings import Embeddings
    from langchain_core.vectorstores import InMemoryVectorStore

    class Ours(Embeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return [list(map(float, vector)) for vector in embed(texts)]

        def embed_query(self, text: str) -> list[float]:
            return self.embed_documents([text])[0]

    store = InMemoryVectorStore(Ours())
    store.add_documents([Document(chunk.content, id=chunk.id) for chunk in data.chunks])
    found = []
    for question, without, answers in asked:
        hits = store.similarity_search_with_score(
            question, k=1, filter=lambda document, gone=without: document.id not in gone
        )
        document, score = hits[0]
        found.append((float(score), document.id in answers))
    return found


def _llamaindex(data: QuestionSet, embed: Embed, asked: Asked) -> list[tuple[float, bool]]:
    from llama_index.core.schema import TextNode
    from llama_index.core.vector_stores import SimpleVectorStore
    from llama_index.core.vector_stores.types import VectorStoreQuery

    store = SimpleVectorStore()
    vectors = embed([chunk.content for chunk in data.chunks])
    store.add(
        [
            TextNode(id_=chunk.id, text=chunk.content, embedding=list(map(float, vector)))
            for chunk, vector in zip(data.chunks, vectors, strict=True)
        ]
    )
    found = []
    ids = [chunk.id or "" for chunk in data.chunks]
    for question, without, answers in asked:
        kept = [id_ for id_ in ids if id_ not in without] if without else None
        result = store.query(
            VectorStoreQuery(query_embedding=list(map(float, embed([question])[0])), similarity_top_k=1, node_ids=kept)
        )
        assert result.ids is not None
        assert result.similarities is not None
        found.append((float(result.similarities[0]), result.ids[0] in answers))
    return found
