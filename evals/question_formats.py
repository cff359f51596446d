"""Golden sets for answers as others write them, read into ours. Every mistake is a LoadError with its file and line."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from pathlib import Path

from rag_pgvector.errors import LoadError
from rag_pgvector.evals.formats import CorpusDocument, beir_objects, json_lines, lines, read_documents
from rag_pgvector.evals.located_json import Place, read_json
from rag_pgvector.evals.questions import AnswerSet, GoldenQuestion, Span, read_golden

_REVIEWED = frozenset({"yes", "y", "true", "1", "ya"})

__all__ = ["read_beir_answers", "read_csv", "read_labelled_rag", "read_questions", "read_ragas", "read_squad"]


def read_questions(path: Path) -> AnswerSet:
    """A golden set in whichever of the formats it is. Raises LoadError.

    A folder is BEIR's; ``.csv`` is a table; ``.jsonl`` is RAGAS' if its lines have ``user_input``, else our own;
    ``.json`` is a LlamaIndex dataset if it has ``examples``, else SQuAD.
    """
    if path.is_dir():
        return read_beir_answers(path)
    suffix = path.suffix.lower()
    if suffix == ".csv":
        return read_csv(path)
    if suffix == ".jsonl":
        _, first = next(json_lines(path), ("", {}))
        if "user_input" in first:
            return read_ragas(path)
        return AnswerSet(name=path.stem, questions=tuple(read_golden(path)), format="golden")
    if suffix == ".json":
        document = read_json(path)
        is_labelled = isinstance(document.value, dict) and "examples" in document.value
        return _labelled_rag(path, document) if is_labelled else _squad(path, document)
    raise LoadError(str(path), "use a BEIR folder, .jsonl (ours or RAGAS'), .json (SQuAD or LlamaIndex) or .csv")


# ----------------------------------------------------------------------------------------------------------- SQuAD


def read_squad(path: Path) -> AnswerSet:
    """SQuAD 1.1 or 2.0, or a list of its paragraphs (``context``, ``qas``), as IDK-MRC has it. Raises LoadError.

    Source: Rajpurkar et al. 2018, "Know What You Don't Know: Unanswerable Questions for SQuAD". Every context is a
    document; a question that is impossible is of kind ``adversarial``. An answer that does not stand at its place, but
    elsewhere in the context, is taken from there, with a warning.
    """
    return _squad(path, read_json(path))


def _squad(path: Path, document: Place) -> AnswerSet:
    documents: dict[str, CorpusDocument] = {}
    questions: dict[str, GoldenQuestion] = {}
    warnings: list[str] = []

    def paragraph(place: Place, id_: str, title: str) -> None:
        context = place.get("context", str)
        documents[id_] = CorpusDocument(id=id_, title=title, text=context)
        for asked in place.each("qas"):
            question = _squad_question(asked, id_, context, len(title) + 1 if title else 0, warnings)
            if question.id in questions:
                raise asked.error(f"id {question.id!r:.80} comes twice")
            questions[question.id] = question

    if isinstance(document.value, list):
        for i, place in enumerate(document.each()):
            paragraph(place, str(i), "")
    else:
        for article in document.each("data"):
            title = article.get("title", str, default="")
            for i, place in enumerate(article.each("paragraphs")):
                paragraph(place, f"{title or len(documents)}#{i}", title)
    found = _set(path, list(questions.values()), tuple(documents.values()), "squad")
    return replace(found, warnings=tuple(warnings))


def _squad_question(asked: Place, source: str, context: str, offset: int, warnings: list[str]) -> GoldenQuestion:
    impossible = asked.get("is_impossible", bool, default=False)
    texts, span = [], None
    for answer in asked.each("answers"):
        text, start = answer.get("text", str), answer.get("answer_start", int)
        if context[start : start + len(text)] != text:
            places = [match.start() for match in re.finditer(re.escape(text), context)]
            wrong = answer.error(f"{text!r:.60} does not stand at {start} of its context")
            if not places:
                raise wrong
            _, start = min((abs(place - start), place) for place in places)
            warnings.append(f"{wrong}: taken from {start}")
        if text.strip():
            texts.append(text)
            span = span or Span(source, offset + start, offset + start + len(text))
    if not impossible and not texts:
        raise asked.error("no answer, and is_impossible is not true")
    first, *others = dict.fromkeys(texts if not impossible else [""])
    return GoldenQuestion(
        asked.get("id", str),
        asked.get("question", str),
        not impossible,
        first,
        tuple(others),
        source,
        None,
        "adversarial" if impossible else "document",
        span=None if impossible else span,
    )


# --------------------------------------------------------------------------------------------------- LlamaIndex, RAGAS


def read_labelled_rag(path: Path) -> AnswerSet:
    """A LlamaIndex ``LabelledRagDataset`` (``rag_dataset.json``): its reference contexts are the documents.

    Source: llama_index.core.llama_dataset.rag. Raises LoadError.
    """
    return _labelled_rag(path, read_json(path))


def _labelled_rag(path: Path, document: Place) -> AnswerSet:
    contexts: dict[str, str] = {}
    questions = []
    for i, example in enumerate(document.each("examples")):
        evidence = [_string(place) for place in example.each("reference_contexts", default=[])]
        questions.append(
            _with_evidence(
                str(i),
                example.get("query", str),
                example.get("reference_answer", str, default=""),
                [text for text in evidence if text.strip()],
                contexts,
            )
        )
    return _set(path, questions, _documents(contexts), "labelled-rag")


def read_ragas(path: Path) -> AnswerSet:
    """RAGAS samples, one JSON object a line: ``user_input``, ``reference``, ``reference_contexts`` (or their ``_ids``).

    Source: ragas.dataset_schema.SingleTurnSample. What a system answered (``response``, ``retrieved_contexts``) is not
    read. Raises LoadError.
    """
    contexts: dict[str, str] = {}
    questions = []
    for number, (where, line) in enumerate(json_lines(path)):

        def texts(key: str, where: str = where, line: dict[str, object] = line) -> list[str]:
            value = line.get(key) or []
            if not isinstance(value, list) or not all(isinstance(each, (str, int)) for each in value):
                raise LoadError(str(path), f"{key} is {value!r:.60}: use a list of texts", where)
            return [str(each) for each in value]

        asked, reference = line.get("user_input"), line.get("reference") or ""
        if not isinstance(asked, str) or not asked.strip():
            raise LoadError(str(path), f"user_input is {asked!r:.60}: use a text", where)
        if not isinstance(reference, str):
            raise LoadError(str(path), f"reference is {reference!r:.60}: use a text", where)
        question = _with_evidence(str(number), asked, reference, texts("reference_contexts"), contexts)
        if ids := texts("reference_context_ids"):
            question = GoldenQuestion(
                question.id, asked, question.answerable, reference, (), ids[0], None, question.kind,
                sources=tuple(ids[1:]), evidence=question.evidence,
            )  # fmt: skip
        questions.append(question)
    return _set(path, questions, _documents(contexts), "ragas")


def _with_evidence(
    id_: str, asked: str, reference: str, evidence: list[str], contexts: dict[str, str]
) -> GoldenQuestion:
    """A question of a format that has texts for sources. Without a reference it counts as not answerable."""
    ids = [contexts.setdefault(text, f"context-{len(contexts)}") for text in evidence]
    answerable = bool(reference.strip())
    if not answerable:
        ids, evidence, reference = [], [], ""
    return GoldenQuestion(
        id_, asked, answerable, reference, (), ids[0] if ids else None, None,
        "document" if answerable else "no_reference", sources=tuple(ids[1:]), evidence=tuple(evidence),
    )  # fmt: skip


def _documents(contexts: dict[str, str]) -> tuple[CorpusDocument, ...]:
    return tuple(CorpusDocument(id=id_, title="", text=text) for text, id_ in contexts.items())


def _string(place: Place) -> str:
    if not isinstance(place.value, str):
        raise place.error("not a text")
    return place.value


# ------------------------------------------------------------------------------------------------------- CSV and BEIR


def read_csv(path: Path) -> AnswerSet:
    """A table with the columns question, answer and perhaps id, source, page_or_row, kind, accept. Raises LoadError.

    An empty answer means that the data cannot answer the question. Several answers in ``accept`` stand on lines of
    their own. Where there is a column ``reviewed``, only rows where it says yes count.
    """
    text = "\n".join(line for _, line in _numbered(path))
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    header = [name.strip().casefold() for name in next(rows, [])]
    for column in ("question", "answer"):
        if header.count(column) != 1:
            raise LoadError(str(path), f"the columns are {', '.join(header)}: one {column!r} is needed", "line 1")
    questions: list[GoldenQuestion] = []
    seen: dict[str, int] = {}
    try:
        before = rows.line_num
        for cells in rows:
            line, before = before + 1, rows.line_num
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                raise LoadError(str(path), f"{len(cells)} cells for {len(header)} columns", f"line {line}")
            row = dict(zip(header, (cell.strip() for cell in cells), strict=True))
            if "reviewed" in row and row["reviewed"].casefold() not in _REVIEWED:
                continue
            id_ = row.get("id") or f"line-{line}"
            if not row["question"]:
                raise LoadError(str(path), "the question is empty", f"line {line}")
            if id_ in seen:
                raise LoadError(str(path), f"id {id_!r:.80} is the one of line {seen[id_]}, too", f"line {line}")
            seen[id_] = line
            place, kind = row.get("page_or_row", ""), "document" if row["answer"] else "unanswerable"
            questions.append(
                GoldenQuestion(
                    id_,
                    row["question"],
                    bool(row["answer"]),
                    row["answer"],
                    tuple(each for each in row.get("accept", "").splitlines() if each.strip()) if row["answer"] else (),
                    row.get("source") or None if row["answer"] else None,
                    (int(place) if place.isascii() and place.isdigit() else place or None) if row["answer"] else None,
                    row.get("kind") or kind,
                    note=row.get("note", ""),
                )
            )
    except csv.Error as error:
        raise LoadError(str(path), f"not CSV: {error}", f"line {rows.line_num}") from None
    return _set(path, questions, (), "csv")


def _numbered(path: Path) -> list[tuple[str, str]]:
    """All lines, empty ones too, since a quoted cell may hold them."""
    list(lines(path))  # its errors have lines
    return [("", line) for line in path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n").split("\n")]


def read_beir_answers(folder: Path) -> AnswerSet:
    """A BEIR folder whose questions have answers in their metadata: ``answer`` or ``answers``, and ``answerable``.

    A question's sources are its relevant documents (qrels), or ``metadata.paragraph``. Raises LoadError.
    """
    from rag_pgvector.evals.formats import read_beir

    path = folder / "queries.jsonl"
    judged = read_beir(folder).qrels if list(folder.glob("qrels*")) else {}
    questions = []
    for where, line, id_ in beir_objects(path):
        about = line.get("metadata")
        if not isinstance(about, dict) or not {"answer", "answers", "answerable"} & about.keys():
            raise LoadError(str(path), "metadata has no 'answer', 'answers' or 'answerable': nothing to compare", where)
        answers = about.get("answers", [about["answer"]] if about.get("answer") else [])
        if not isinstance(answers, list) or not all(isinstance(each, str) for each in answers):
            raise LoadError(str(path), f"answers is {answers!r:.60}: use a list of texts", where)
        answers = [each for each in answers if each.strip()]
        answerable = about.get("answerable", bool(answers))
        if answerable and not answers:
            raise LoadError(str(path), "the question is answerable and has no answer", where)
        relevant = [document for document, grade in judged.get(id_, {}).items() if grade > 0]
        sources: list[str | None] = [*relevant] or [about.get("paragraph")]
        first, *others = dict.fromkeys(answers if answerable else [""])
        questions.append(
            GoldenQuestion(
                id_,
                line["text"],
                bool(answerable),
                first,
                tuple(others),
                sources[0] if answerable else None,
                None,
                "document" if answerable else "adversarial",
                sources=tuple(each for each in sources[1:] if each) if answerable else (),
            )
        )
    return _set(folder, questions, read_documents(folder), "beir")


def _set(path: Path, questions: list[GoldenQuestion], documents: tuple[CorpusDocument, ...], format: str) -> AnswerSet:
    if not questions:
        raise LoadError(str(path), "the file has no questions")
    return AnswerSet(name=path.resolve().stem, questions=tuple(questions), documents=documents, format=format)
