"""Reads golden sets for retrieval: BEIR folders. Every mistake is a LoadError with its file and line.

The layout is that of BEIR (Thakur et al. 2021, "BEIR: A Heterogeneous Benchmark for Zero-shot Evaluation of Information
Retrieval Models"): ``corpus.jsonl`` with ``_id``, ``title``, ``text``; ``queries.jsonl`` with ``_id``, ``text``; and
``qrels/SPLIT.tsv`` (or one ``qrels.tsv``) with query id, document id and relevance, separated by tabs.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rag_pgvector.errors import LoadError

__all__ = [
    "CorpusDocument",
    "RetrievalSet",
    "beir_objects",
    "grade_of",
    "json_lines",
    "lines",
    "read_beir",
    "read_documents",
]

_MOST_RELEVANT = 1000
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusDocument:
    """One line of a corpus."""

    id: str
    title: str
    text: str = field(repr=False)

    @property
    def content(self) -> str:
        """What is searched: title and text, as BEIR's baselines join them."""
        return f"{self.title}\n{self.text}".strip() if self.title else self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrievalSet:
    """Questions with judged documents.

    Attributes:
        name: The folder's.
        documents: The corpus, in the order of its file.
        queries: Every judged question by its id.
        qrels: For each judged question, relevance by document id: 0 is judged not relevant, higher is better.
        qrels_file: Where the judgements were read from, within the folder.
        absent: How many judged relevant documents the corpus does not have: nobody can find them.
        slices: The slice of each question, where its metadata says: results are told for each.
    """

    name: str
    documents: tuple[CorpusDocument, ...] = field(repr=False)
    queries: Mapping[str, str] = field(repr=False)
    qrels: Mapping[str, Mapping[str, int]] = field(repr=False)
    qrels_file: str
    absent: int
    slices: Mapping[str, str] = field(default_factory=dict, repr=False)

    def first(self, limit: int, *, seed: int = 0) -> RetrievalSet:
        """``limit`` of its questions, drawn at random (the same ones each time), in their order; or all of them."""
        if limit >= len(self.queries):
            return self
        kept = set(random.Random(seed).sample(list(self.queries), limit))
        return replace(self, queries={id_: text for id_, text in self.queries.items() if id_ in kept})


def read_beir(folder: Path, *, split: str | None = None, slice_by: str | None = None) -> RetrievalSet:
    """The golden set in a BEIR folder.

    ``split`` names the file of ``qrels/``; without it ``qrels.tsv`` is read, else ``qrels/test.tsv``, else the only
    file there. ``slice_by`` names a key of the questions' ``metadata`` that tells slices apart. Questions that nobody
    judged are left out. Raises LoadError.
    """
    if not folder.is_dir():
        raise LoadError(str(folder), "no such folder: give one with corpus.jsonl, queries.jsonl and qrels")
    qrels_file = _qrels_file(folder, split)
    documents = read_documents(folder)
    slices: dict[str, str] = {}
    queries = dict(_queries(folder / "queries.jsonl", slice_by, slices))
    qrels = _qrels(qrels_file, queries)
    known = {document.id for document in documents}
    return RetrievalSet(
        name=folder.resolve().name,
        documents=documents,
        queries={id_: text for id_, text in queries.items() if id_ in qrels},
        qrels=qrels,
        qrels_file=qrels_file.relative_to(folder).as_posix(),
        absent=sum(grade > 0 and id_ not in known for judged in qrels.values() for id_, grade in judged.items()),
        slices=slices,
    )


def _qrels_file(folder: Path, split: str | None) -> Path:
    splits = {path.stem: path for path in sorted((folder / "qrels").glob("*.tsv"))}
    if split is not None:
        if split not in splits:
            raise LoadError(str(folder), f"no qrels/{split}.tsv: {_listed(list(splits))}")
        return splits[split]
    if (folder / "qrels.tsv").is_file():
        return folder / "qrels.tsv"
    if "test" in splits:
        return splits["test"]
    if len(splits) == 1:
        return next(iter(splits.values()))
    raise LoadError(str(folder), f"no qrels.tsv and no qrels/test.tsv: {_listed(list(splits))}")


def _listed(splits: list[str]) -> str:
    return f"choose a split, {', '.join(splits)}" if splits else "put judgements there"


def read_documents(folder: Path) -> tuple[CorpusDocument, ...]:
    """The corpus of a BEIR folder. Raises LoadError."""
    return tuple(_documents(folder / "corpus.jsonl"))


def _documents(path: Path) -> Iterator[CorpusDocument]:
    for where, line, id_ in beir_objects(path):
        yield CorpusDocument(
            id=id_, title=_text(path, where, line, "title", default=""), text=_text(path, where, line, "text")
        )


def _queries(path: Path, slice_by: str | None, slices: dict[str, str]) -> Iterator[tuple[str, str]]:
    for where, line, id_ in beir_objects(path):
        text = _text(path, where, line, "text")
        if slice_by is not None:
            about = line.get("metadata")
            if not isinstance(about, dict) or slice_by not in about:
                raise LoadError(str(path), f"metadata has no {slice_by!r:.40} to slice by", where)
            slices[id_] = str(about[slice_by])
        if not text.strip():
            raise LoadError(str(path), f"the question {id_!r:.80} is empty", where)
        yield id_, text


def json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """``("line 7", object)`` of each line that is not empty. Raises LoadError."""
    for where, text in lines(path):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise LoadError(str(path), f"not JSON: {error}", where) from None
        if not isinstance(found, dict):
            raise LoadError(str(path), f"{text:.60} is not a JSON object", where)
        yield where, found


def beir_objects(path: Path) -> Iterator[tuple[str, dict[str, Any], str]]:
    """``(where, object, _id)`` of each line, no ``_id`` twice. Raises LoadError."""
    seen: dict[str, str] = {}
    for where, found in json_lines(path):
        id_ = found.get("_id")
        if type(id_) is int:
            id_ = str(id_)
        if not isinstance(id_, str) or not id_:
            raise LoadError(str(path), f"_id is {id_!r:.60}: use a text", where)
        if id_ in seen:
            raise LoadError(str(path), f"_id {id_!r:.80} is the one of {seen[id_]}, too", where)
        seen[id_] = where
        yield where, found, id_
    if not seen:
        raise LoadError(str(path), "the file is empty")


def _text(path: Path, where: str, line: Mapping[str, Any], key: str, default: str | None = None) -> str:
    value = line.get(key, default)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        raise LoadError(str(path), f"{key!r} is {value!r:.60}: use a text", where)
    return value


def _qrels(path: Path, queries: Mapping[str, str]) -> dict[str, dict[str, int]]:
    qrels: dict[str, dict[str, int]] = {}
    for number, (where, text) in enumerate(lines(path)):
        cells = text.rstrip("\r").split("\t")
        if len(cells) != 3:
            raise LoadError(str(path), f"{len(cells)} columns, not query id, document id, relevance", where)
        query, document, grade = (cell.strip() for cell in cells)
        if number == 0 and query not in queries and grade_of(grade) is None:
            continue  # the header
        relevance = grade_of(grade)
        if relevance is None:
            raise LoadError(str(path), f"relevance {grade!r:.40}: use a whole number up to {_MOST_RELEVANT}", where)
        if query not in queries:
            raise LoadError(str(path), f"query {query!r:.80} is not in queries.jsonl", where)
        judged = qrels.setdefault(query, {})
        if judged.setdefault(document, relevance) != relevance:
            raise LoadError(
                str(path),
                f"query {query!r:.80}, document {document!r:.80} is {relevance} here and {judged[document]} before",
                where,
            )
    if not qrels:
        raise LoadError(str(path), "no judgements")
    return qrels


def grade_of(text: str) -> int | None:
    """A relevance as a number; 2^1000 is as much as nDCG's exponential gain can hold."""
    try:
        value = float(text)
    except ValueError:
        return None
    return int(value) if value.is_integer() and abs(value) <= _MOST_RELEVANT else None


def lines(path: Path) -> Iterator[tuple[str, str]]:
    """``("line 7", text)`` of each line that is not empty. Only a line feed ends a line: JSON may hold U+2028."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise LoadError(str(path), f"{error.strerror}") from None
    with file:
        for number, line in enumerate(file, 1):
            raw = line.removeprefix(_BOM) if number == 1 else line
            try:
                text = raw.decode()
            except UnicodeDecodeError as error:
                raise LoadError(str(path), f"not UTF-8 ({error.reason})", f"line {number}") from None
            if text.strip():
                yield f"line {number}", text.rstrip("\r\n")
