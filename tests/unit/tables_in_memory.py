"""Tables in memory, to answer questions from with no database: the steps are replied to as a collection would."""

from __future__ import annotations

import csv
import fnmatch
import io
import re
import zlib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from rag_pgvector.answer import GroundedAnswer, answer
from rag_pgvector.answer.steps import EmbedTexts, Find, Rows, Tables, Texts, Totals
from rag_pgvector.ingest.profile import Column
from rag_pgvector.totals import ColumnTotals
from rag_pgvector.types import Chunk, Document, SearchPlan, SearchResult

__all__ = ["World"]


def _matches(metadata: Mapping[str, Any], condition: Mapping[str, Any] | None) -> bool:
    for key, wanted in (condition or {}).items():
        name = key.replace("\\.", ".")
        if name == "$and":
            if not all(_matches(metadata, each) for each in wanted):
                return False
        elif name == "$or":
            if not any(_matches(metadata, each) for each in wanted):
                return False
        elif not isinstance(wanted, Mapping):
            if metadata.get(name) != wanted:
                return False
        else:
            for operator, operand in wanted.items():
                value = metadata.get(name)
                if operator in ("$in", "$nin"):
                    held = (value in operand) == (operator == "$in")
                elif operator == "$like":
                    held = fnmatch.fnmatchcase(str(value), operand.replace("%", "*"))
                else:
                    assert operator == "$ilike"
                    held = fnmatch.fnmatchcase(str(value).casefold(), operand.casefold().replace("%", "*"))
                if not held:
                    return False
    return True


def _totals(rows: Sequence[Chunk], step: Totals) -> ColumnTotals:
    cells = [row.metadata.get(step.column) for row in rows if _matches(row.metadata, step.filter)]
    filled = [str(cell) for cell in cells if cell is not None]
    bare = [re.sub(r"^(RM|[$€£])|[,% ]", "", cell) for cell in filled]
    numbers = [Decimal(text) for text in bare if re.fullmatch(r"-?\d+(\.\d+)?", text)]
    some = [sum(numbers, Decimal()), min(numbers), max(numbers)] if numbers else [None] * 3
    mean = None if some[0] is None else some[0] / len(numbers)
    return ColumnTotals(len(cells), len(filled), len(numbers), len(set(filled)), some[0], mean, some[1], some[2])


class World:
    """Tables in memory, loaded as ingestion loads them: ``column: value`` lines, typed metadata, a column profile."""

    def __init__(self, files: Mapping[str, str], distinct: bool = True, same: Sequence[set[str]] = ()) -> None:
        #: Texts that the embedder finds to be nearly the same; all others are somewhat alike.
        self.same = same
        self.documents: list[Document] = []
        self.rows: dict[str, list[Chunk]] = {}
        self.texts: dict[str, str] = {}
        for source, content in files.items():
            names, *records = list(csv.reader(io.StringIO(content.strip())))
            columns = [Column(name) for name in names]
            for record in records:
                for column, cell in zip(columns, record, strict=True):
                    column.observe(cell)
            text, chunks = "", []
            for place, record in enumerate(records):
                rendered = "\n".join(f"{name}: {cell}" for name, cell in zip(names, record, strict=True) if cell)
                text += "\n\n" * bool(text)
                values = {c.name: c.reader()(cell) for c, cell in zip(columns, record, strict=True)}
                chunks.append(
                    Chunk(
                        id=f"{source}:{place}",
                        document_id=source,
                        source=source,
                        content=rendered,
                        page_or_row=place,
                        char_start=len(text),
                        char_end=len(text) + len(rendered),
                        metadata={name: value for name, value in values.items() if value is not None},
                    )
                )
                text += rendered
            profiles = [column.profile() for column in columns]
            if not distinct:
                for profile in profiles:
                    profile.pop("distinct", None)
            profile = {"columns": profiles, "rows": len(records)}
            self.documents.append(Document(id=source, source=source, text="", loader="csv", profile=profile))
            self.rows[source], self.texts[source] = chunks, text

    def ask(self, question: str, filter: Mapping[str, Any] | None = None, threshold: float = 0.6) -> GroundedAnswer:
        steps = answer(question, filter=filter, threshold=threshold)
        reply: Any = None
        while True:
            try:
                step = steps.send(reply)
            except StopIteration as stop:
                return self._verified(stop.value)
            if isinstance(step, Tables):
                reply = self.documents
            elif isinstance(step, Rows):
                rows = self.rows[step.document_ids[0]]
                reply = [row for row in rows if _matches(row.metadata, step.filter)][: step.limit]
            elif isinstance(step, Totals):
                rows = self.rows[step.document_ids[0]]
                if step.by is None:
                    reply = _totals(rows, step)
                else:
                    by, kinds = (
                        step.by,
                        {row.metadata.get(step.by) for row in rows if _matches(row.metadata, step.filter)},
                    )
                    held = {kind: [row for row in rows if row.metadata.get(by) == kind] for kind in kinds}
                    reply = {kind if kind is None else str(kind): _totals(held[kind], step) for kind in kinds}
            elif isinstance(step, Find):
                reply = SearchResult([], SearchPlan("exact", "nothing but tables"))
            elif isinstance(step, EmbedTexts):
                reply = np.array([self._vector(text) for text in step.texts])
            else:
                assert isinstance(step, Texts)
                reply = {id_: self.texts[id_] for id_ in step.document_ids}

    def _vector(self, text: str) -> list[float]:
        number = next((n for n, alike in enumerate(self.same) if text in alike), None)
        angle = zlib.crc32(text.encode()) if number is None else number
        direction = np.random.default_rng(angle).standard_normal(1_024)
        return [*(direction / np.linalg.norm(direction)).tolist(), 0.8]

    def _verified(self, given: GroundedAnswer) -> GroundedAnswer:
        for citation in (*given.citations, *given.near_misses):
            assert citation.doc_id is not None
            assert self.texts[citation.doc_id][citation.char_start : citation.char_end] == citation.snippet
        return given
