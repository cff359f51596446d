"""What the reader of answers learns from: questions, passages, and how right each sentence of a passage is.

``read_human(data)`` gives the questions that people wrote, from the folder of public data sets (nothing of them is
shipped), and ``read_generated(file)`` those that a language model wrote. ``examples`` makes of them what is trained on.

| set | learned from |
|---|---|
| SQuAD 2 (``qa_squad2``) | articles in ``READ_BY_THE_READER``, adversarial questions too; the other ones are held out |
| XQuAD (``ir_xquad``) in English, Spanish, German | articles in ``READ_BY_THE_READER`` of which SQuAD has nothing |
| IDK-MRC (``qa_idkmrc``) | 4,000 questions to passages outside of the sample in ``question_sets`` |
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rag_pgvector.answer.lexical import term_set
from rag_pgvector.answer.sentences import split
from rag_pgvector.answer.steps import Page
from rag_pgvector.errors import ConfigError
from rag_pgvector.evals.in_memory import Embed
from rag_pgvector.evals.question_sets import (
    IDKMRC_PASSAGES,
    READ_BY_THE_READER,
    Question,
    QuestionSet,
    read_paragraphs,
)

__all__ = ["Row", "examples", "nearest", "read_generated", "read_human", "without_answer"]

#: Code points of a passage that are looked at.
_MOST_TEXT = 1_600
_IDKMRC_QUESTIONS = 4_000
#: How often English questions are read in an epoch; the other ones once.
_ENGLISH = 3
#: Shares of the questions that a passage without what answers is made for, of people's and of generated ones; that a
#: near passage is read for (of people's: nobody knows of a generated one whether it answers); and of crops.
_LESS, _LESS_GENERATED, _NEAR, _CROPPED = 0.3, 0.25, 0.6, 0.3
#: What is left of the targets of other sentences where what answers is gone.
_LESS_TARGET = 0.6
#: Tokens of a crop.
_CROP = 150
#: Of the passages nearest to a question: so many are looked through, and so many kept.
_NEAREST, _NEAR_KEPT = 14, 6


@dataclass(frozen=True, slots=True)
class Row:
    """A question, a page, and how right each of its spans is, 0 to 1.

    Attributes:
        answers: Texts of which a passage that answers holds one.
        human: Not generated.
        near: Pages like the question that do not answer it.
    """

    question: str
    page: Page
    targets: tuple[float, ...]
    answers: tuple[str, ...] = ()
    language: str = "english"
    human: bool = True
    near: tuple[Page, ...] = ()

    @property
    def right(self) -> tuple[int, ...]:
        """The spans that answer."""
        return tuple(at for at, target in enumerate(self.targets) if target >= 0.5)


# -------------------------------------------------------------------------------------------------------------- reading


def read_human(data: Path) -> tuple[list[Row], list[Row]]:
    """The rows to learn from, and those of SQuAD's other articles, which are held out."""
    squad = read_paragraphs("squad2", data, "qa_squad2")
    trained = [*_rows(squad, lambda question: question.group in READ_BY_THE_READER)]
    held = [*_rows(squad, lambda question: question.group not in READ_BY_THE_READER)]
    others = READ_BY_THE_READER - set(squad.groups)
    for prefix, language in (("en-", "english"), ("es-", "spanish"), ("de-", "german")):
        xquad = read_paragraphs(f"xquad_{prefix[:2]}", data, "ir_xquad", language=language, prefix=prefix)
        trained += _rows(xquad, lambda question: question.group in others)
    idkmrc = read_paragraphs("idkmrc", data, "qa_idkmrc", language="indonesian", passages=IDKMRC_PASSAGES, outside=True)
    indonesian = [*_rows(idkmrc, lambda _: True)]
    chosen = np.random.default_rng(0).permutation(len(indonesian))[:_IDKMRC_QUESTIONS]
    return trained + [indonesian[at] for at in sorted(chosen)], held


def _rows(data: QuestionSet, wanted: Callable[[Question], bool]) -> Iterator[Row]:
    """A set's questions, less those whose answer stands in no sentence."""
    passages = {chunk.id: chunk for chunk in data.chunks}
    pages: dict[str, Page] = {}
    for question in data.questions:
        if not wanted(question):
            continue
        (home,) = question.passages
        if home not in pages:
            text = passages[home].content[:_MOST_TEXT]
            spans = tuple((span.start, span.end) for span in split(text) if span.kind in ("sentence", "item", "row"))
            pages[home] = Page(passages[home].source or "", text, spans)
        right = _answering(question, pages[home])
        if question.kind == "answerable" and right is None:
            continue
        targets = tuple(float(at == right) for at in range(len(pages[home].spans)))
        asked = " ".join(question.text.split())
        yield Row(asked, pages[home], targets, answers=question.answers, language=data.language)


def _answering(question: Question, page: Page) -> int | None:
    """The span with an answer; of several that with the most words of the question."""
    sentences = [page.text[start:end].casefold() for start, end in page.spans]
    holding = [at for at, text in enumerate(sentences) if any(answer.casefold() in text for answer in question.answers)]
    words = term_set(question.text)
    return max(holding, key=lambda at: len(words & term_set(sentences[at])), default=None)


def read_generated(file: Path) -> list[Row]:
    """The rows of a JSONL file: ``{"question", "title", "text", "spans": [[start, end], ...], "targets": [...]}``.

    Raises ConfigError for a line that is another thing.
    """
    found = []
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                row = json.loads(line)
                spans = tuple((int(start), int(end)) for start, end in row["spans"])
                targets = tuple(float(target) for target in row["targets"])
                page = Page(row["title"], row["text"], spans)
                question = row["question"]
            except (KeyError, TypeError, ValueError) as error:
                raise ConfigError(f"{file}, line {number}: {type(error).__name__}: {error}") from error
            if len(spans) != len(targets) or not all(0.0 <= target <= 1.0 for target in targets):
                raise ConfigError(f"{file}, line {number}: targets must be one for each span, 0 to 1")
            places = [0, *(place for span in spans for place in span), len(page.text)]
            if places != sorted(places):
                raise ConfigError(f"{file}, line {number}: spans must be in the text, in order, and apart")
            found.append(Row(question, page, targets, human=False))
    return found


def nearest(rows: Sequence[Row], embed: Embed) -> list[Row]:
    """The rows of people's questions with the pages of the others that are like the question and lack its answer."""
    found = list(rows)
    for language in {row.language for row in rows if row.human}:
        places = [at for at, row in enumerate(rows) if row.human and row.language == language]
        pages = list(dict.fromkeys(rows[at].page for at in places))
        vectors = embed([f"{page.title}. {page.text}" if page.title else page.text for page in pages])
        for at, asked in zip(places, embed([rows[at].question for at in places]), strict=True):
            row = rows[at]
            answers = [answer.casefold() for answer in row.answers if len(answer) > 2]
            like = [pages[other] for other in np.argsort(-(vectors @ asked))[:_NEAREST]]
            near = [
                page
                for page in like
                if page != row.page and not any(answer in page.text.casefold() for answer in answers)
            ]
            found[at] = replace(row, near=tuple(near[:_NEAR_KEPT]))
    return found


# ------------------------------------------------------------------------------------------------------------- examples


def examples(rows: Sequence[Row], draw: np.random.Generator, tokens: Callable[[str], int]) -> Iterator[Row]:
    """What is read in one epoch: for each row its page or a crop of it, and for some the page without what answers,
    and a near page. ``tokens`` counts those of a text."""
    for row in rows:
        for _ in range(_ENGLISH if row.human and row.language == "english" else 1):
            yield _crop(row, draw, tokens) if draw.random() < _CROPPED else row
            if row.right and draw.random() < (_LESS if row.human else _LESS_GENERATED):
                less = without_answer(row)
                if less is not None:
                    yield less
            if row.near and draw.random() < _NEAR:
                page = row.near[draw.integers(len(row.near))]
                yield replace(row, page=page, targets=(0.0,) * len(page.spans))


def without_answer(row: Row) -> Row | None:
    """The row without the text of the spans that answer; None where nothing is left."""
    kept = [at for at in range(len(row.targets)) if at not in row.right]
    if not kept:
        return None
    text, spans, end = "", [], 0
    for at, span in enumerate(row.page.spans):
        text += row.page.text[end : span[0]]
        end = span[1]
        if at in kept:
            spans.append((len(text), len(text) + end - span[0]))
            text += row.page.text[slice(*span)]
    page = Page(row.page.title, text + row.page.text[end:], tuple(spans))
    return replace(row, page=page, targets=tuple(_LESS_TARGET * row.targets[at] for at in kept))


def _crop(row: Row, draw: np.random.Generator, tokens: Callable[[str], int]) -> Row:
    """About ``_CROP`` tokens of whole spans, around one that answers if there is one."""
    text, spans = row.page.text, row.page.spans
    count = tokens(text)
    if count <= _CROP or len(spans) < 2:
        return row
    most = len(text) * _CROP / count
    right = row.right
    low = high = right[draw.integers(len(right))] if right else int(draw.integers(len(spans)))
    while True:
        wider = [
            (first, last)
            for first, last in ((low - 1, high), (low, high + 1))
            if first >= 0 and last < len(spans) and spans[last][1] - spans[first][0] <= most
        ]
        if not wider:
            break
        low, high = wider[draw.integers(len(wider))]
    start, end = spans[low][0], spans[high][1]
    kept = tuple((first - start, last - start) for first, last in spans[low : high + 1])
    return replace(row, page=Page(row.page.title, text[start:end], kept), targets=row.targets[low : high + 1])
