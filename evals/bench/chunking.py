"""How well chunks fit what a question needs: ``python -m rag_pgvector.evals.bench.chunking``.

The method of Smith and Troynikov, "Evaluating Chunking Strategies for Retrieval" (Chroma, 2024): texts are divided,
embedded and searched; of a question's ``k`` best chunks, the tokens are compared with those of its reference excerpts.
``recall``: the share of the excerpts' tokens that the chunks hold. ``precision``: the share of the chunks' tokens that
belong to excerpts, what overlapping chunks repeat counted as often as it comes. ``iou``: the common part of both.

Ours by default beside LangChain's RecursiveCharacterTextSplitter and LlamaIndex's SentenceSplitter, at the same size
and overlap in tokens of the same model, and as they are shipped (texts that the model cuts off after 256 tokens). The
data is a folder with ``questions_df.csv`` and ``corpora/*.md`` (github.com/brandonstarxel/chunking_evaluation).
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rag_pgvector.embedding import resolve_embedder
from rag_pgvector.evals.bench.measure import machine, target, tell, versions
from rag_pgvector.evals.bench.server import say
from rag_pgvector.ingest import ChunkOptions, chunk_document, load, token_count

__all__ = ["main", "measure"]

SIZE, OVERLAP = 200, 24
Span = tuple[int, int]
Divide = Callable[[Path, str], list[Span]]


def measure(folder: Path, *, k: int = 5, questions: int | None = None) -> dict[str, Any]:
    """Every way to divide the corpora of a folder."""
    model: Any = resolve_embedder()
    asked = list(_questions(folder / "questions_df.csv"))[:questions]
    corpora = {path.stem: path for path in sorted((folder / "corpora").glob("*.md"))}
    asked = [each for each in asked if each[2] in corpora]
    texts = {name: _read(path) for name, path in corpora.items()}
    tokens = {name: np.array([start for start, _ in model.token_offsets(text)]) for name, text in texts.items()}
    say(f"{len(asked)} questions about {len(corpora)} texts")
    vectors = np.asarray(model.embed_documents([question for question, *_ in asked]))
    ways = {}
    for name, divide in _ways(model).items():
        say(name)
        ways[name] = _way(model, divide, corpora, texts, tokens, asked, vectors, k)
    ours = ways["rag_pgvector"]
    others = [way for name, way in ways.items() if name != "rag_pgvector" and name.endswith("same size")]
    return {
        "machine": machine(),
        "versions": versions("rag-pgvector", "langchain-text-splitters", "llama-index-core"),
        "data": {"folder": folder.name, "questions": len(asked), "texts": len(corpora), "k": k},
        "ways": ways,
        "targets": {
            "iou_vs_best_peer": target(round(ours["iou"] / max(way["iou"] for way in others), 3), 1.0),
            "recall_vs_best_peer": target(round(ours["recall"] / max(way["recall"] for way in others), 3), 1.0),
        },
    }


def _read(path: Path) -> str:
    """A text as the loader stores it, which the references count in."""
    (loaded,) = load(path)
    return loaded.document.text


def _questions(path: Path) -> Iterator[tuple[str, list[Span], str]]:
    """Question, spans of its excerpts, name of its text."""
    with path.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            spans = [(int(each["start_index"]), int(each["end_index"])) for each in json.loads(row["references"])]
            yield row["question"], spans, row["corpus_id"]


# ---------------------------------------------------------------------------------------------------------------- ways


def _ways(model: Any) -> dict[str, Divide]:
    from langchain_text_splitters import RecursiveCharacterTextSplitter
    from llama_index.core.node_parser import SentenceSplitter

    count, _ = token_count(model)

    def tokens(text: str) -> list[str]:
        return [text[start:end] for start, end in model.token_offsets(text)]

    def ours(**options: Any) -> Divide:
        chosen = ChunkOptions(**{"size": SIZE, "overlap": OVERLAP, **options})

        def divide(path: Path, text: str) -> list[Span]:
            (loaded,) = load(path)
            chunks = chunk_document(loaded, options=chosen, count=count, embed=model.embed_documents)
            return [(chunk.char_start or 0, chunk.char_end or 0) for chunk in chunks]

        return divide

    recursive = RecursiveCharacterTextSplitter(length_function=count, chunk_size=SIZE, chunk_overlap=OVERLAP)
    sentences = SentenceSplitter(tokenizer=tokens, chunk_size=SIZE, chunk_overlap=OVERLAP)
    return {
        "rag_pgvector": ours(),
        **{f"rag_pgvector by {by}": ours(by=by) for by in ("paragraph", "sentence", "tokens", "semantic")},
        "langchain recursive, same size": _found(recursive.split_text),
        "llama-index sentence, same size": _found(sentences.split_text),
        "langchain recursive, as shipped": _found(RecursiveCharacterTextSplitter().split_text),
        "llama-index sentence, as shipped": _found(SentenceSplitter().split_text),
    }


def _found(split: Callable[[str], Sequence[str]]) -> Divide:
    """Where a splitter's chunks stand in the text."""

    def divide(path: Path, text: str) -> list[Span]:
        spans, begin = [], 0
        for part in split(text):
            at = text.find(part.strip(), begin)
            if at < 0:
                raise ValueError(f"{part[:60]!r} is no slice of {path.name}")
            spans.append((at, at + len(part.strip())))
            begin = at + 1
        return spans

    return divide


def _way(
    model: Any,
    divide: Divide,
    corpora: dict[str, Path],
    texts: dict[str, str],
    tokens: dict[str, Any],
    asked: Sequence[tuple[str, list[Span], str]],
    vectors: Any,
    k: int,
) -> dict[str, Any]:
    chunks = [(name, span) for name, path in corpora.items() for span in divide(path, texts[name])]
    embedded = np.asarray(model.embed_documents([texts[name][start:end] for name, (start, end) in chunks]))
    lengths = [_held(tokens[name], span).stop - _held(tokens[name], span).start for name, span in chunks]
    recall, precision, iou = [], [], []
    for (_, references, wanted), vector in zip(asked, vectors, strict=True):
        own = np.zeros(len(tokens[wanted]), dtype=bool)
        for span in references:
            own[_held(tokens[wanted], span)] = True
        best = np.argsort(-(embedded @ vector))[:k]
        got = np.zeros_like(own)
        retrieved = 0
        for at in best:
            name, span = chunks[at]
            retrieved += lengths[at]
            if name == wanted:
                got[_held(tokens[name], span)] = True
        common = int((own & got).sum())
        recall.append(common / own.sum())
        precision.append(common / retrieved)
        iou.append(common / (retrieved + own.sum() - common))
    return {
        "chunks": len(chunks),
        "tokens_per_chunk": round(float(np.mean(lengths)), 1),
        "iou": round(float(np.mean(iou)), 4),
        "recall": round(float(np.mean(recall)), 4),
        "precision": round(float(np.mean(precision)), 4),
    }


def _held(starts: Any, span: Span) -> slice:
    """The tokens that begin in a span."""
    low, high = np.searchsorted(starts, span)
    return slice(int(low), int(high))


def _print(report: dict[str, Any]) -> None:
    for name, way in report["ways"].items():
        print(f"{name:34} {way['chunks']:5} chunks of {way['tokens_per_chunk']:6} tokens  ", end="")
        print(f"IoU {way['iou']:.4f}  recall {way['recall']:.4f}  precision {way['precision']:.4f}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns 0 whether or not the targets are met."""
    parser = argparse.ArgumentParser(prog="python -m rag_pgvector.evals.bench.chunking", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    default = Path(os.environ.get("RAG_PGVECTOR_DATA", "../shared/data"), "rag_chunking_eval")
    parser.add_argument("--data", type=Path, default=default, help="the folder of questions and corpora")
    parser.add_argument("-k", type=int, default=5, help="chunks per question")
    parser.add_argument("--questions", type=int, help="only the first so many")
    options = parser.parse_args(arguments)
    if not (options.data / "questions_df.csv").is_file():
        parser.error(f"--data {options.data}: there is no questions_df.csv in it")
    report = measure(options.data, k=options.k, questions=options.questions)
    tell(report, as_json=options.json, read=_print)
    return 0


if __name__ == "__main__":
    sys.exit(main())
