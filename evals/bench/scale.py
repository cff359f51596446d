"""How search grows with the collection: ``python -m rag_pgvector.evals.bench.scale --sizes 10000 100000 --json``.

For each size: seconds to load and to build the vector index, bytes on disk, and p50, p95 and queries a second with 1, 4
and 16 clients of searches by vectors, by words and by both, k = 10.

The rows are made: a chunk is four sentences drawn from real texts (those of the data folder, else the demo's), so that
words are as frequent as in language; its vector is the sum of the sentences' vectors with noise on it. A question is
ten words of a sentence of some chunk, with that sentence's vector, perturbed. The clients are threads of this process,
which share its interpreter: with many of them it is the limit, not the server.

Each size is written to ``--out`` when it is done; ``--resume`` leaves out those that are there. ``--home DIR`` keeps
the server there with what was built, so that ``--build`` can load and index while the machine does other work, and a
later run without it measures in quiet; delete the folder afterwards.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from rag_pgvector import Chunk, Collection, CollectionConfig, Database, SearchOptions
from rag_pgvector.embedding import default_embedder
from rag_pgvector.evals.bench.measure import latency, machine, print_targets, target, tell, versions
from rag_pgvector.evals.bench.server import checkpoint, database, describe_server, embedded_server, kept_database, say
from rag_pgvector.evals.formats import read_beir
from rag_pgvector.plan import Execute, Plan
from rag_pgvector.settings import Settings

__all__ = ["Sentences", "main", "measure", "read_sentences"]

K = 10
CLIENTS = (1, 4, 16)
MODES = ("dense", "keyword", "hybrid")
SENTENCES_A_CHUNK = 4
#: From here on vectors are stored with two bytes a number: what a machine of this size can index.
HALFVEC_ROWS = 1_000_000
_CALL_ROWS = 5_000
_TEXTS = ("ir_scifact", "ir_cranfield", "ir_cisi", "rag_claude_docs")
_END = re.compile(r"(?<=[.!?])\s+")


#: A question and its vector.
Question = tuple[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Sentences:
    """Real sentences, and the vector of each."""

    texts: list[str]
    vectors: NDArray[np.float32]


def read_sentences(data: Path | None, count: int, cache: Path) -> Sentences:
    """``count`` sentences of five words and more, drawn from the data folder's texts or from the demo's, embedded.

    Their vectors are kept in the folder ``cache``.
    """
    pool = [each for text in _texts(data) for each in _END.split(text) if 5 <= len(each.split()) <= 60]
    drawn = np.random.default_rng(0).permutation(len(pool))[:count]
    texts = [" ".join(pool[i].split()) for i in drawn]
    embedder = default_embedder(Settings())
    digest = hashlib.sha256(json.dumps([embedder.name, texts]).encode()).hexdigest()[:16]
    file = cache / f"sentences-{digest}.npy"
    if not file.is_file():
        say("embedding sentences")
        cache.mkdir(parents=True, exist_ok=True)
        np.save(file, _unit(embedder.embed_documents(texts)))
    return Sentences(texts, np.load(file))


def _texts(data: Path | None) -> Iterator[str]:
    folders = [] if data is None else [data / name for name in _TEXTS if (data / name).is_dir()]
    for folder in folders:
        yield from (document.text for document in read_beir(folder).documents)
    if not folders:
        import rag_pgvector.demo as demo

        for file in sorted((Path(str(demo.__file__)).parent / "data").glob("*.md")):
            yield file.read_text(encoding="utf-8")


def _unit(matrix: NDArray[Any]) -> NDArray[np.float32]:
    return np.asarray(matrix / np.linalg.norm(matrix, axis=1, keepdims=True), dtype=np.float32)


def _noisy(vectors: NDArray[np.float32], draw: np.random.Generator, share: float) -> NDArray[np.float32]:
    return _unit(vectors + share * _unit(draw.standard_normal(vectors.shape, dtype=np.float32)))


def _chunks(sentences: Sentences, rows: int) -> Iterator[list[Chunk]]:
    """``rows`` chunks, in lists that one call stores."""
    draw = np.random.default_rng(1)
    for start in range(0, rows, _CALL_ROWS):
        size = min(_CALL_ROWS, rows - start)
        chosen = draw.integers(len(sentences.texts), size=(size, SENTENCES_A_CHUNK))
        vectors = _noisy(_unit(sentences.vectors[chosen].sum(axis=1)), draw, 0.4)
        yield [
            Chunk(
                id=f"{start + i:09}",
                content=" ".join(sentences.texts[j] for j in chosen[i]),
                metadata={"n": start + i},
                embedding=vectors[i],
            )
            for i in range(size)
        ]


def _questions(sentences: Sentences, count: int) -> list[Question]:
    draw = np.random.default_rng(2)
    chosen = draw.integers(len(sentences.texts), size=count)
    vectors = _noisy(sentences.vectors[chosen], draw, 0.3)
    return [(" ".join(sentences.texts[i].split()[:10]), vector) for i, vector in zip(chosen, vectors, strict=True)]


def measure(server: str, sentences: Sentences, rows: int, *, queries: int, seconds: float) -> dict[str, Any]:
    """Load, index and search one size in a database of its own."""
    with database(server, f"rag_bench_scale_{uuid.uuid4().hex[:8]}") as url:
        return {**_built(url, sentences, rows), "modes": _all_modes(url, sentences, rows, queries, seconds)}


def _kept(server: str, sentences: Sentences, rows: int, home: Path) -> tuple[str, dict[str, Any]]:
    """The database of a size, and how it was built: now, or by a run before this one."""
    name, note = f"rag_bench_scale_{rows}", home / f"scale-{rows}.json"
    if note.is_file():
        return kept_database(server, name, anew=False), json.loads(note.read_text(encoding="utf-8"))
    url = kept_database(server, name, anew=True)
    report = _built(url, sentences, rows)
    note.write_text(json.dumps(report), encoding="utf-8")
    return url, report


def _built(url: str, sentences: Sentences, rows: int) -> dict[str, Any]:
    storage: Any = "halfvec" if rows >= HALFVEC_ROWS else "vector"
    config = CollectionConfig(dimensions=sentences.vectors.shape[1], storage=storage)
    with Database(url) as db:
        docs = db.collection("bench", config=config)
        say(f"{rows} chunks: loading")
        start = time.perf_counter()
        for n, chunks in enumerate(_chunks(sentences, rows), 1):
            docs.add(chunks)
            if n % 20 == 0:
                say(f"{n * _CALL_ROWS} chunks, {n * _CALL_ROWS / (time.perf_counter() - start):.0f} a second")
        loaded = time.perf_counter()
        say(f"{rows} chunks: building the vector index")
        warnings = docs.build_index().warnings
        built = time.perf_counter()
        checkpoint(url)
        return {
            "rows": rows,
            "storage": storage,
            "load_s": round(loaded - start, 2),
            "load_rows_per_s": round(rows / (loaded - start)),
            "build_index_s": round(built - loaded, 2),
            "build_warnings": list(warnings),
            "built_at_load": machine()["load_1_min"],
            "disk_bytes": db.run(lambda: _disk(docs)),
        }


def _all_modes(url: str, sentences: Sentences, rows: int, queries: int, seconds: float) -> dict[str, Any]:
    # Half of the questions are for warming up: those that are measured have not been asked before.
    asked = _questions(sentences, 2 * queries)
    before, questions = asked[:queries], asked[queries:]
    with Database(url, pool_size=max(CLIENTS)) as db:
        docs = db.collection("bench")
        say(f"{rows} chunks: {queries} questions, the modes in turns")
        plans = {mode: {_search(docs, mode, question) for question in before} for mode in MODES}
        samples: dict[str, list[float]] = {mode: [] for mode in MODES}
        for i, question in enumerate(questions):
            first = i % len(MODES)  # in turns, so that a slow minute of the machine is a slow minute of all
            for mode in MODES[first:] + MODES[:first]:
                start = time.perf_counter()
                _search(docs, mode, question)
                samples[mode].append(time.perf_counter() - start)
        found = {}
        for mode in MODES:
            say(f"{rows} chunks: {mode}, questions a second")
            rates = {str(clients): _rate(docs, mode, questions, clients, seconds) for clients in CLIENTS}
            found[mode] = {**latency(samples[mode]), "qps": rates, "plans": sorted(plans[mode])}
        return found


def _search(docs: Collection, mode: str, question: Question) -> str:
    """Search; returns what was planned."""
    text, vector = question
    found = docs.search(
        None if mode == "dense" else text,
        vector=None if mode == "keyword" else vector,
        k=K,
        options=SearchOptions(mode=mode),  # type: ignore[arg-type]
    )
    return found.plan.kind if mode != "hybrid" else " + ".join(part.kind for part in found.plan.parts)


def _rate(docs: Collection, mode: str, questions: Sequence[Question], clients: int, seconds: float) -> float:
    """Searches a second by so many clients at once."""
    start = time.perf_counter()

    def client(number: int) -> int:
        done = 0
        while time.perf_counter() < start + seconds:
            _search(docs, mode, questions[(number * 7919 + done) % len(questions)])
            done += 1
        return done

    with ThreadPoolExecutor(clients) as pool:
        done = sum(pool.map(client, range(clients)))
    return round(done / (time.perf_counter() - start), 1)


def _disk(docs: Collection) -> Plan[dict[str, int]]:
    """Bytes of the collection's relations, each with its indexes."""
    rows = yield Execute(
        sql.SQL(
            "SELECT relname, pg_total_relation_size(oid) FROM pg_class "
            "WHERE relnamespace = 'rag'::regnamespace AND relkind = 'r' AND relname LIKE %s"
        ),
        (f"%\\_{docs.name}",),
    )
    index = yield Execute(
        sql.SQL(
            "SELECT coalesce(sum(pg_relation_size(indexrelid)), 0)::bigint FROM pg_index JOIN pg_class c "
            "ON c.oid = indexrelid JOIN pg_am a ON a.oid = c.relam "
            "WHERE a.amname IN ('hnsw', 'ivfflat') AND c.relnamespace = 'rag'::regnamespace"
        )
    )
    return {**{name: int(size) for name, size in sorted(rows)}, "vector index, contained": int(index[0][0])}


def _targets(sizes: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for name, one in sizes.items():
        modes = one["modes"]
        both = modes["dense"]["p50_ms"] + modes["keyword"]["p50_ms"]
        found[f"{name}: hybrid / (keyword + dense)"] = target(modes["hybrid"]["p50_ms"] / both, 1.0, at_most=True)
    for goal, name in ((8.0, "100000"), (60.0, "1000000")):
        if name in sizes:
            found[f"{name}: keyword p50, ms"] = target(sizes[name]["modes"]["keyword"]["p50_ms"], goal, at_most=True)
    if "100000" in sizes and "1000000" in sizes:
        for mode in MODES:
            small, large = (sizes[name]["modes"][mode]["p50_ms"] for name in ("100000", "1000000"))
            found[f"{mode}: p50 at 1M / at 100k"] = target(large / small, 3.0, at_most=True)
    return found


def plot(report: dict[str, Any], file: Path) -> None:
    """p50 and p95 against the number of chunks, written as PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5))
    sizes = sorted(report["sizes"].values(), key=lambda one: one["rows"])
    rows = [one["rows"] for one in sizes]
    for mode in MODES:
        (line,) = axes.plot(rows, [one["modes"][mode]["p50_ms"] for one in sizes], marker="o", label=f"{mode}, p50")
        p95 = [one["modes"][mode]["p95_ms"] for one in sizes]
        axes.plot(rows, p95, marker=".", linestyle=":", color=line.get_color(), label=f"{mode}, p95")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("chunks")
    axes.set_ylabel("ms")
    axes.legend(fontsize="small")
    figure.tight_layout()
    figure.savefig(file, dpi=120)
    pyplot.close(figure)


def _print(report: dict[str, Any]) -> None:
    for one in report["sizes"].values():
        for mode, found in one["modes"].items():
            print(f"{one['rows']:>9} {mode:8} p50 {found['p50_ms']} ms, p95 {found['p95_ms']} ms, q/s {found['qps']}")
    print_targets(report)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns 0 whether or not the targets are met."""
    parser = argparse.ArgumentParser(prog="python -m rag_pgvector.evals.bench.scale", description=__doc__)
    default = Path(os.environ.get("RAG_PGVECTOR_DATA", "../shared/data"))
    parser.add_argument("--data", type=Path, default=default, help="the data folder (RAG_PGVECTOR_DATA); may be absent")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], metavar="ROWS")
    parser.add_argument("--sentences", type=int, default=5_000, help="how many sentences to draw from (default 5000)")
    parser.add_argument("--queries", type=int, default=200, help="default 200")
    parser.add_argument(
        "--seconds", type=float, default=5.0, help="of each measurement of queries a second (default 5)"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--resume", action="store_true", help="leave out the sizes that --out has already")
    parser.add_argument("--url", help="a server where databases may be created (default: an embedded one)")
    parser.add_argument("--home", type=Path, help="keep an embedded server here, and search what it has already")
    parser.add_argument("--build", action="store_true", help="only load and index (needs --home)")
    parser.add_argument("--out", type=Path, default=Path("out"), help="where the report and its plot go")
    options = parser.parse_args(arguments)
    if min(options.sizes) < 100 or options.queries < 1 or options.sentences < 10:
        parser.error("use at least 100 rows, 1 query and 10 sentences")
    if (options.build and options.home is None) or (options.url and options.home):
        parser.error("--build needs --home, and --home an embedded server: leave out --url")
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "bench-scale.json"
    sizes: dict[str, Any] = {}
    if options.resume and file.is_file():
        sizes = json.loads(file.read_text(encoding="utf-8"))["sizes"]
    data = options.data if options.data.is_dir() else None
    sentences = read_sentences(data, options.sentences, options.out / "vectors")
    report: dict[str, Any] = {}
    with ExitStack() as stack:
        server = options.url or stack.enter_context(embedded_server(options.home))
        for rows in sorted(options.sizes):
            if options.home is not None and str(rows) not in sizes:
                url, built = _kept(server, sentences, rows, options.home)
                if options.build:
                    print(json.dumps(built))
                    continue
                modes = _all_modes(url, sentences, rows, options.queries, options.seconds)
                sizes[str(rows)] = {**built, "modes": modes}
            elif str(rows) not in sizes:
                sizes[str(rows)] = measure(server, sentences, rows, queries=options.queries, seconds=options.seconds)
            report = {
                "machine": machine(),
                "server": describe_server(server),
                "versions": versions("rag-pgvector", "psycopg", "pgvector"),
                "data": f"chunks of {SENTENCES_A_CHUNK} sentences drawn from {len(sentences.texts)} real ones; vectors "
                "are the sums of theirs with noise: made, not real",
                "k": K,
                "sizes": sizes,
                "targets": _targets(sizes),
            }
            file.write_text(json.dumps(report, indent=2), encoding="utf-8")
    if options.build:
        return 0
    plot(report, options.out / "bench-scale.png")
    tell(report, as_json=options.json, read=_print)
    return 0


if __name__ == "__main__":
    sys.exit(main())
