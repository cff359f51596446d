"""Fits the prior of a language model's answers, on a reader that is simulated: no model is called.

    python -m rag_pgvector.evals.fit_llm --data DIR [--cache FOLDER] [--most N] [--sets NAME ...]

The questions of ``fit_prior`` are put to ``answer_with_model`` over a collection in memory. The reader is shown the
prompt and knows the reference answer. Where a passage that answers is shown it quotes the sentence that holds the
answer, another one in a tenth of the cases, and abstains in 1.4 %; where none is, it abstains in 31 %, and else quotes
the sentence most like the question. The shares of abstention are the best ones of GaRAGe (Sorodoc et al., ACL 2025);
the tenth is an assumption. What is fitted: the intercept, how much the extractive log odds count, and agreement. A
simulated reader says nothing about how often real ones misquote or quote what is beside the question, so those weights
stay as they are.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rag_pgvector.answer.confidence import extractive_logit
from rag_pgvector.answer.lexical import STOPWORDS, term_set
from rag_pgvector.answer.llm import LLM_WEIGHTS
from rag_pgvector.answer.models import Reply, Request
from rag_pgvector.answer.sentences import split
from rag_pgvector.evals.confidence import measure
from rag_pgvector.evals.fit_prior import SHARES
from rag_pgvector.evals.fitting import fit, logistic
from rag_pgvector.evals.in_memory import Embed, MemoryCollection, VectorCache
from rag_pgvector.evals.question_sets import Question, QuestionSet, is_right, read_questions

__all__ = ["Reader", "collect", "fitted", "main"]

#: Sets with reference answers.
_WITH_ANSWERS = ("squad2", "xquad_es", "idkmrc")
#: Of the reader: how often it abstains where it could answer, and where it could not; how often it quotes wrongly.
ABSTAINS, ABSTAINS_RIGHTLY, ERRS = 0.014, 0.31, 0.1
#: Weights that are fitted, and those that are not, which a strong pull keeps.
FITTED = ("agreement",)
KEPT = tuple(name for name in LLM_WEIGHTS if name not in (*FITTED, "extractive"))

_PASSAGE = re.compile(r" passage id=(\w+)>\n\([^\n]*\)\n(.*?)\n</", re.DOTALL)


class Reader:
    """A language model that answers as the module says. ``asked`` is set before each question."""

    def __init__(self, seed: int = 0) -> None:
        self._draw = np.random.default_rng(seed)
        self.asked: Question | None = None
        self.answerable = False

    def reply(self, request: Request) -> Reply:
        assert self.asked is not None
        words = term_set(self.asked.text) - STOPWORDS
        sentences = [
            (id_, text[span.start : span.end])
            for id_, text in _PASSAGE.findall(request.user)
            for span in split(text)
            if span.kind in ("sentence", "item", "row")
        ]
        holding = [each for each in sentences if self.answerable and self._holds(each[1])]
        others = [each for each in sentences if each not in holding]
        if self._draw.random() < (ABSTAINS if holding else ABSTAINS_RIGHTLY) or not sentences:
            return Reply({"statements": []})
        chosen = holding if holding and (self._draw.random() >= ERRS or not others) else others
        id_, text = max(chosen, key=lambda each: len(words & term_set(each[1])) / (4 + len(term_set(each[1]))) ** 0.5)
        return Reply({"statements": [{"text": text, "citations": [{"id": id_, "quote": text}]}]})

    async def areply(self, request: Request) -> Reply:
        return self.reply(request)

    def _holds(self, sentence: str) -> bool:
        assert self.asked is not None
        flat = " ".join(sentence.casefold().split())
        return any(" ".join(answer.casefold().split()) in flat for answer in self.asked.answers)


def collect(data: QuestionSet, embed: Embed, *, most: int | None, seed: int = 0) -> list[tuple[list[float], bool, str]]:
    """The signals of each answer that was verified (extractive log odds, FITTED, KEPT), whether it is right, its group.

    Only sets with reference answers; each question as it is, as a near miss and out of corpus, as in ``fit_prior``.
    """
    collection = MemoryCollection(data.chunks, embed, language=data.language, texts=data.texts)
    place = {chunk.id: at for at, chunk in enumerate(data.chunks)}
    draw = np.random.default_rng(seed)
    questions = [question for question in data.questions if question.kind == "answerable" and question.answers]
    if most is not None and most < len(questions):
        questions = [questions[at] for at in sorted(draw.choice(len(questions), most, replace=False))]
    reader = Reader(seed)
    found: list[tuple[list[float], bool, str]] = []
    for question in questions:
        for kind in ("answerable", "out_of_corpus", "near_miss"):
            if draw.random() >= SHARES[kind]:
                continue
            without = set() if kind == "answerable" else {place[id_] for id_ in question.passages}
            if kind == "out_of_corpus":
                without |= {at for at, group in enumerate(data.groups) if group == question.group}
            reader.asked, reader.answerable = question, kind == "answerable"
            given = collection.ask(question.text, without=without, llm=reader)
            if given.mode == "llm" and given.failure_mode is None:
                signals = [given.signals.get(name, 0.0) for name in (*FITTED, *KEPT)]
                right = kind == "answerable" and is_right(question, given)
                found.append(([extractive_logit(given.signals), *signals], right, question.group))
    return found


def fitted(rows: Sequence[tuple[list[float], bool, str]]) -> Any:
    """Intercept and weights, in the order of the signals; those of ``KEPT`` as they are."""
    centre = [0.0, 1.0, *(0.0 for _ in FITTED), *(LLM_WEIGHTS[name] for name in KEPT)]
    ridge = [0.0, 1.0, *(1.0 for _ in FITTED), *(1e6 for _ in KEPT)]
    design, right = np.array([row for row, _, _ in rows]), np.array([right for _, right, _ in rows])
    return fit(design, right, ridge=ridge, centre=np.array(centre), free_intercept=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the weights, and the figures of each set by weights fitted on the other sets."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--most", type=int, default=300)
    parser.add_argument("--sets", nargs="+", choices=_WITH_ANSWERS, default=list(_WITH_ANSWERS))
    options = parser.parse_args(arguments)
    from rag_pgvector.embedding import default_embedder
    from rag_pgvector.ingest import token_count
    from rag_pgvector.settings import load_settings

    embedder = default_embedder(load_settings())
    embed = VectorCache(embedder.embed_documents, options.cache)
    count, _ = token_count(embedder)
    rows = {
        name: collect(read_questions(options.data, name, count=count), embed, most=options.most)
        for name in options.sets
    }
    embed.save()
    weights = fitted([row for many in rows.values() for row in many])
    names = ("intercept", "extractive", *FITTED, *KEPT)
    report: dict[str, Any] = {"weights": dict(zip(names, np.round(weights, 4).tolist(), strict=True)), "sets": {}}
    for name, own in rows.items():
        others = [row for other, many in rows.items() if other != name for row in many]
        by = fitted(others) if others else weights
        confidence = logistic(by[0] + np.array([row for row, _, _ in own]) @ by[1:])
        right = np.array([right for _, right, _ in own])
        report["sets"][name] = {
            "transfer": measure(confidence, right, groups=[group for _, _, group in own]),
            "extractive_alone": measure(logistic(np.array([row[0] for row, _, _ in own])), right),
        }
    print(json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
