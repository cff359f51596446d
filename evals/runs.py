"""A run as a JSON document: what was measured, on what, with which parts. What gates, reports and history work on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag_pgvector.embedding import Embedder
from rag_pgvector.embedding.fingerprint import fingerprint as probe
from rag_pgvector.errors import LoadError
from rag_pgvector.evals.formats import RetrievalSet
from rag_pgvector.evals.questions import GoldenQuestion, question_to

if TYPE_CHECKING:
    from rag_pgvector.evals.answers import AnswerEvaluation
    from rag_pgvector.evals.judged import Verdicts
    from rag_pgvector.evals.retrieval import Evaluation

__all__ = [
    "answers_run",
    "baseline_of",
    "compact",
    "fingerprint",
    "model_of",
    "read_run",
    "retrieval_run",
    "same_model",
    "write_run",
]

FORMAT = 1
#: Of so many of the worst questions the passages are kept, for the report.
WORST = 15
_PASSAGES = 3
#: Components of a model's fingerprint that are kept, and how far two machines' may lie apart.
_FINGERPRINT = 8
_ALIKE = 0.01
_EXCERPT = 700


def rounded(value: Any) -> Any:
    """The same values with six decimals, in lists and mappings too: no machine's last digit is in a document."""
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, Mapping):
        return {str(key): rounded(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(each) for each in value]
    return value


def fingerprint(golden: RetrievalSet | Sequence[GoldenQuestion]) -> str:
    """SHA-256 of the questions and what is right: the same golden set, however it was written."""
    if isinstance(golden, RetrievalSet):
        content: Any = [golden.queries, {id_: golden.qrels[id_] for id_ in golden.queries}]
    else:
        content = [question_to(each) for each in golden]
    text = json.dumps(content, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def model_of(embedder: Embedder) -> dict[str, Any]:
    """What made the vectors: the model's name, its dimensions, and the beginning of the vector of a fixed text, which
    tells two models of one name apart."""
    vector = probe(embedder)
    return {
        "model": embedder.name,
        "dimensions": len(vector),
        "model_fingerprint": [round(float(value), 3) for value in vector[:_FINGERPRINT]],
    }


def same_model(run: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two runs' vectors came from one model, as far as they tell."""
    if run.get("model") != other.get("model"):
        return False
    ours, theirs = run.get("model_fingerprint"), other.get("model_fingerprint")
    if not ours or not theirs:
        return True
    return len(ours) == len(theirs) and max(abs(a - b) for a, b in zip(ours, theirs, strict=True)) < _ALIKE


def retrieval_run(golden: RetrievalSet, found: Evaluation, **about: Any) -> dict[str, Any]:
    """The document of an evaluation of retrieval. ``about``: whatever else is known (mode, model, plans)."""
    first = next(iter(found.metrics))
    texts = {each.id: each.content for each in golden.documents}
    order = sorted(found.per_query, key=lambda id_: (found.per_query[id_][first], id_))
    worst = set(order[:WORST])
    questions = []
    for id_, values in found.per_query.items():
        question: dict[str, Any] = {
            "id": id_,
            "question": golden.queries[id_],
            "values": values,
            "found": list(found.rankings[id_][:10]),
        }
        if id_ in worst:
            judged = golden.qrels[id_]
            relevant = [key for key, grade in judged.items() if grade > 0]
            question["passages"] = [
                {"id": key, "rank": rank, "relevance": judged.get(key, 0), "text": texts.get(key, "")[:_EXCERPT]}
                for rank, key in enumerate(found.rankings[id_][:_PASSAGES], 1)
            ]
            question["missed"] = [
                {"id": key, "rank": _rank(found.rankings[id_], key), "text": texts.get(key, "")[:_EXCERPT]}
                for key in relevant
                if key not in found.rankings[id_][:_PASSAGES]
            ][:_PASSAGES]
        questions.append(question)
    document = {
        "format": FORMAT,
        "kind": "retrieval",
        "dataset": golden.name,
        "golden_sha256": fingerprint(golden),
        "metrics": found.metrics,
        "intervals": found.intervals,
        "measured": dict.fromkeys(found.metrics, len(golden.queries)),
        "slices": found.slices,
        "queries": len(golden.queries),
        "queries_without_results": sum(not ranking for ranking in found.rankings.values()),
        "latency_ms": found.latency_ms,
        **about,
        "questions": questions,
    }
    return rounded(document)  # type: ignore[no-any-return]


def _rank(ranking: Sequence[str], id_: str) -> int | None:
    return ranking.index(id_) + 1 if id_ in ranking else None


def answers_run(
    name: str,
    golden: Sequence[GoldenQuestion],
    found: AnswerEvaluation,
    *,
    verdicts: Verdicts | None = None,
    **about: Any,
) -> dict[str, Any]:
    """The document of an evaluation of answers. A judge's verdicts stand apart, under ``judged``: no gate sees them."""
    by_id = {each.id: each for each in golden}
    questions = []
    for each in found.asked:
        question: dict[str, Any] = {
            "id": each.id,
            "question": each.question,
            "kind": each.kind,
            "values": {key: value for key, value in each.values.items() if value is not None},
            "outcome": each.outcome,
            "expected": each.expected,
            "answer": each.answer,
            "confidence": each.confidence,
            "citations": [
                {"place": place, "snippet": snippet[:_EXCERPT]}
                for place, snippet in zip(each.citations, each.snippets, strict=True)
            ],
        }
        if each.withheld is not None:
            question["withheld"] = each.withheld[:_EXCERPT]
        wanted = by_id[each.id]
        if wanted.source is not None:
            question["place"] = wanted.source + ("" if wanted.page_or_row is None else f":{wanted.page_or_row}")
        if verdicts is not None and (judged := verdicts.of(each.id)):
            question["judged"] = judged
        questions.append(question)
    document = {
        "format": FORMAT,
        "kind": "answers",
        "dataset": name,
        "golden_sha256": fingerprint(golden),
        "metrics": found.metrics,
        "intervals": found.intervals,
        "measured": found.measured,
        "slices": found.slices,
        "confusion": found.confusion,
        "confidence": found.confidence,
        **({} if verdicts is None else {"judged": verdicts.summary()}),
        "queries": len(found.asked),
        "latency_ms": found.latency_ms,
        **about,
        "questions": questions,
    }
    return rounded(document)  # type: ignore[no-any-return]


def compact(run: Mapping[str, Any]) -> dict[str, Any]:
    """A run without its questions: what is printed, and what the database keeps."""
    return {key: value for key, value in run.items() if key != "questions"}


def baseline_of(run: Mapping[str, Any]) -> dict[str, Any]:
    """A run as far as a later one is compared with it: small enough to be committed."""
    kept = {key: run[key] for key in ("format", "kind", "dataset", "golden_sha256", "metrics")}
    return kept | {"questions": [{key: each[key] for key in ("id", "values")} for each in run["questions"]]}


def write_run(path: Path, run: Mapping[str, Any]) -> None:
    """Write a run; the same run gives the same bytes."""
    text = json.dumps(run, ensure_ascii=False, allow_nan=False, indent=1)
    path.write_text(text + "\n", encoding="utf-8", newline="\n")


def read_run(path: Path) -> dict[str, Any]:
    """A run that ``write_run`` wrote. Raises LoadError."""
    from rag_pgvector.evals.located_json import read_json

    document = read_json(path)
    if document.get("format", int) != FORMAT:
        raise document.error(f"a run of format {document.value['format']}: this version reads {FORMAT}")
    document.get("metrics", dict)
    for question in document.each("questions", default=[]):
        question.get("id", str)
        question.get("values", dict)
    if not isinstance(document.value, dict):  # pragma: no cover - get() has seen to it
        raise LoadError(str(path), "not a run")
    return document.value
