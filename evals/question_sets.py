"""Question sets for confidence: passages, questions, which passages answer them, and when an answer is right.

``read_questions(data, name)`` reads one of ``SETS`` from the folder of public data sets; nothing of them is shipped.

| name | passages | an answer is right if it is cut from a passage that answers, and |
|---|---|---|
| squad2 | paragraphs of 16 articles | holds a reference answer |
| idkmrc | Indonesian paragraphs, a sample | holds a reference answer |
| xquad_es | Spanish paragraphs | holds a reference answer |
| claude_docs | sections of product documentation | has 40 % of its words or of the reference's in common with that |
| speech, wikitexts | chunks of one long text | overlaps a reference passage |
| pubmedqa | abstracts; the question is the paper's title | (nothing more) |
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from rag_pgvector.answer import GroundedAnswer
from rag_pgvector.answer.lexical import STOPWORDS, terms
from rag_pgvector.errors import ConfigError
from rag_pgvector.ingest import ChunkOptions, chunk_document, load
from rag_pgvector.ingest.chunking import TokenCount
from rag_pgvector.types import Chunk

__all__ = [
    "IDKMRC_PASSAGES",
    "READ_BY_THE_READER",
    "SETS",
    "Kind",
    "Question",
    "QuestionSet",
    "is_right",
    "read_paragraphs",
    "read_questions",
]

#: Articles of SQuAD and XQuAD whose questions the reader was trained on (in English, Spanish and German). What it says
#: of these is no measure. Of IDK-MRC it was trained on the passages that are outside of the sample here.
READ_BY_THE_READER = frozenset(
    {
        "1973 oil crisis",
        "Amazon rainforest",
        "American Broadcasting Company",
        "Apollo program",
        "Black Death",
        "Chloroplast",
        "Civil disobedience",
        "Construction",
        "Ctenophora",
        "Doctor Who",
        "Economic inequality",
        "European Union law",
        "French and Indian War",
        "Fresno, California",
        "Genghis Khan",
        "Geology",
        "Huguenot",
        "Imperialism",
        "Intergovernmental Panel on Climate Change",
        "Jacksonville, Florida",
        "Kenya",
        "Martin Luther",
        "Newcastle upon Tyne",
        "Nikola Tesla",
        "Normans",
        "Oxygen",
        "Pharmacy",
        "Prime number",
        "Private school",
        "Rhine",
        "Scottish Parliament",
        "Sky (United Kingdom)",
        "Southern California",
        "Super Bowl 50",
        "Teacher",
        "United Methodist Church",
        "University of Chicago",
        "Victoria (Australia)",
        "Victoria and Albert Museum",
        "Warsaw",
    }
)
#: How many are in that sample.
IDKMRC_PASSAGES = 1_500
_TRAINED_ON = ("squad2", "xquad_es")

#: ``adversarial``: the passage is there, and does not answer (SQuAD 2's crowd wrote such questions to look answerable).
Kind = Literal["answerable", "adversarial"]


@dataclass(frozen=True, slots=True)
class Question:
    """A question to a set.

    Attributes:
        group: The source document that it is about: questions of one group are never split between fitting and
            measuring.
        passages: Ids of the chunks that answer it (of an adversarial one, those that it was written about).
        answers: Texts of which the answer must hold one.
        spans: Places ``(document, start, end)`` of which the answer must overlap one.
        reference: An answer in free words.
    """

    id: str
    text: str
    group: str
    kind: Kind
    passages: frozenset[str]
    answers: tuple[str, ...] = ()
    spans: tuple[tuple[str, int, int], ...] = ()
    reference: str = ""


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """Passages and questions to them. ``groups`` is the source document of each passage; ``texts`` the stored ones."""

    name: str
    chunks: tuple[Chunk, ...]
    groups: tuple[str, ...]
    questions: tuple[Question, ...]
    language: str = "english"
    texts: Mapping[str, str] = field(default_factory=dict)


def is_right(question: Question, given: GroundedAnswer, *, lenient: bool = False) -> bool:
    """Whether the answer is right, and cut from where it stands. ``lenient`` takes the right words from anywhere."""
    if given.answer is None or not given.citations or question.kind != "answerable":
        return False
    first = given.citations[0]
    if question.spans:
        return any(
            first.doc_id == document and first.char_start < end and start < first.char_end
            for document, start, end in question.spans
        )
    if not lenient and first.chunk_id not in question.passages:
        return False
    if question.answers:
        text = _flat(given.answer)
        return any(_flat(answer) in text for answer in question.answers)
    if question.reference:
        ours, theirs = set(terms(given.answer)) - STOPWORDS, set(terms(question.reference)) - STOPWORDS
        return len(ours & theirs) >= 0.4 * max(1, min(len(ours), len(theirs)))
    return True


def _flat(text: str) -> str:
    return " ".join(text.casefold().split())


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]


def _paragraphs(
    data: Path, folder: str, *, passages: int | None, outside: bool, seed: int, prefix: str
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The passages, or a sample of them, or those outside of that, and the questions of a set of paragraphs."""
    rows = [row for row in _rows(data / folder / "corpus.jsonl") if row["_id"].startswith(prefix)]
    if passages is not None and passages < len(rows):
        chosen = set(np.random.default_rng(seed).choice(len(rows), passages, replace=False).tolist())
        rows = [row for at, row in enumerate(rows) if (at in chosen) is not outside]
    elif outside:
        rows = []
    return rows, [row for row in _rows(data / folder / "queries.jsonl") if row["_id"].startswith(prefix)]


def read_paragraphs(
    name: str,
    data: Path,
    folder: str,
    *,
    language: str = "english",
    passages: int | None = None,
    outside: bool = False,
    prefix: str = "",
) -> QuestionSet:
    """A set of paragraphs that are documents of their own, from its files ``corpus.jsonl`` and ``queries.jsonl``.

    Args:
        passages: A sample of so many, with all questions to them.
        outside: The passages that are not in that sample instead.
        prefix: Only what has ids that begin with it.
    """
    rows, asked = _paragraphs(data, folder, passages=passages, outside=outside, seed=0, prefix=prefix)
    chunks = tuple(_whole(row) for row in rows)
    group = {row["_id"]: row["title"] or row["_id"] for row in rows}
    questions = []
    for row in asked:
        about = row["metadata"]
        home = about.get("paragraph") or f"{prefix}{about['par']}"
        if home not in group:
            continue
        kind: Kind = "answerable" if about.get("answerable", True) else "adversarial"
        answers = tuple(about["answers"])
        questions.append(Question(row["_id"], row["text"], group[home], kind, frozenset({home}), answers))
    return QuestionSet(name, chunks, tuple(group[row["_id"]] for row in rows), tuple(questions), language)


def _whole(row: Mapping[str, Any]) -> Chunk:
    """A passage that is a document of its own."""
    text = row["text"]
    return Chunk(
        id=row["_id"], document_id=row["_id"], source=row["title"], content=text, char_start=0, char_end=len(text)
    )


def _claude_docs(data: Path, count: TokenCount) -> QuestionSet:
    folder = data / "rag_claude_docs"
    rows = _rows(folder / "corpus.jsonl")
    judged: dict[str, set[str]] = {}
    for line in (folder / "qrels.tsv").read_text("utf-8").strip().split("\n")[1:]:
        query, passage, grade = line.split("\t")
        if int(grade) > 0:
            judged.setdefault(query, set()).add(passage)
    questions = tuple(
        Question(
            row["_id"],
            row["text"],
            min(judged[row["_id"]]).partition("#")[0],
            "answerable",
            frozenset(judged[row["_id"]]),
            reference=row["metadata"]["answer"],
        )
        for row in _rows(folder / "queries.jsonl")
        if row["_id"] in judged
    )
    groups = tuple(row["_id"].partition("#")[0] for row in rows)
    return QuestionSet("claude_docs", tuple(_whole(row) for row in rows), groups, questions)


def _pubmedqa(data: Path, count: TokenCount) -> QuestionSet:
    folder = data / "rag_pubmedqa"
    rows = _rows(folder / "corpus.jsonl")
    questions = tuple(
        Question(row["_id"], row["text"], row["_id"], "answerable", frozenset({row["_id"]}))
        for row in _rows(folder / "queries.jsonl")
    )
    return QuestionSet("pubmedqa", tuple(_whole(row) for row in rows), tuple(row["_id"] for row in rows), questions)


def _long_text(name: str, corpus: str) -> Callable[[Path, TokenCount], QuestionSet]:
    def read(data: Path, count: TokenCount) -> QuestionSet:
        folder = data / "rag_chunking_eval"
        loaded = list(load(folder / "corpora" / f"{corpus}.md"))
        chunks = [each for one in loaded for each in chunk_document(one, options=ChunkOptions(), count=count)]
        document = loaded[0].document
        questions = []
        with (folder / "questions_df.csv").open(encoding="utf-8", newline="") as file:
            for number, row in enumerate(csv.DictReader(file)):
                if row["corpus_id"] != corpus:
                    continue
                spans = [(each["start_index"], each["end_index"]) for each in json.loads(row["references"])]
                passages = frozenset(
                    chunk.id or "" for chunk in chunks if any(_overlap(chunk, *span) for span in spans)
                )
                questions.append(
                    Question(
                        f"{name}-{number}",
                        row["question"],
                        # Questions about one place are kept together.
                        f"{name} {min(start for start, _ in spans) // 4_000}",
                        "answerable",
                        passages,
                        spans=tuple((document.id, start, end) for start, end in spans),
                    )
                )
        groups = tuple(chunk.id or "" for chunk in chunks)
        return QuestionSet(name, tuple(chunks), groups, tuple(questions), texts={document.id: document.text})

    return read


def _overlap(chunk: Chunk, start: int, end: int) -> bool:
    return (chunk.char_start or 0) < end and start < (chunk.char_end or 0)


_READERS: dict[str, Callable[[Path, TokenCount], QuestionSet]] = {
    "squad2": lambda data, _: read_paragraphs("squad2", data, "qa_squad2"),
    "idkmrc": lambda data, _: read_paragraphs(
        "idkmrc", data, "qa_idkmrc", language="indonesian", passages=IDKMRC_PASSAGES
    ),
    "xquad_es": lambda data, _: read_paragraphs("xquad_es", data, "ir_xquad", language="spanish", prefix="es-"),
    "claude_docs": _claude_docs,
    "speech": _long_text("speech", "state_of_the_union"),
    "wikitexts": _long_text("wikitexts", "wikitexts"),
    "pubmedqa": _pubmedqa,
}
SETS: Sequence[str] = tuple(_READERS)


def read_questions(data: Path, name: str, *, count: TokenCount, trained: bool = False) -> QuestionSet:
    """Reads a set of ``SETS``. Raises ConfigError.

    Args:
        count: Counts tokens for the sets that are cut into chunks.
        trained: With the questions that the reader was trained on. Their passages are there in either case.
    """
    if name not in _READERS:
        raise ConfigError(f"question set {name!r:.40}: use {', '.join(SETS)}")
    found = _READERS[name](data, count)
    if trained or name not in _TRAINED_ON:
        return found
    return replace(found, questions=tuple(each for each in found.questions if each.group not in READ_BY_THE_READER))
