"""What each kind of vector index costs and finds: ``python -m rag_pgvector.evals.bench.kinds [--data DIR] --json``.

The same rows in one collection per kind: seconds to build, bytes of the index and of the table, and for some settings
of the walk recall@10 against brute force in numpy, and latency. ``default`` is what the planner chooses for a walk.
Vectors are MiniLM's, mixed and perturbed, where there is a data folder; ``--dimensions`` takes Gaussian clusters of
that size instead, for what binary quantisation is meant for: no model of more than 384 dimensions comes with this
package.

``--home DIR`` keeps the server there with what was built, so that ``--build`` can work beside others and a later run
without it measures in quiet; delete the folder afterwards.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rag_pgvector import Collection, CollectionConfig, Database, SearchOptions
from rag_pgvector.evals.bench.filtered import Searched, id_of
from rag_pgvector.evals.bench.measure import latency, machine, seconds, tell, versions
from rag_pgvector.evals.bench.realistic import Vectors, clusters, kept_vectors, perturbed
from rag_pgvector.evals.bench.server import (
    checkpoint,
    database,
    describe_server,
    embedded_server,
    kept_database,
    say,
)

__all__ = ["KINDS", "build", "main", "search"]

K = 10
KINDS: dict[str, dict[str, Any]] = {
    "hnsw": {},
    "hnsw-halfvec": {"quantization": "halfvec"},
    "hnsw-halfvec-stored": {"storage": "halfvec"},
    "hnsw-binary": {"quantization": "binary"},
    "ivfflat": {"index": "ivfflat"},
    "ivfflat-binary": {"index": "ivfflat", "quantization": "binary"},
}
_HNSW: tuple[dict[str, Any], ...] = ({}, {"ef_search": 40}, {"ef_search": 120}, {"ef_search": 400})
_LISTS: tuple[dict[str, Any], ...] = ({}, {"probes": 5}, {"probes": 10}, {"probes": 40})


def build(url: str, vectors: Vectors, kind: str) -> dict[str, Any]:
    """Load and index one kind's collection; what it took, and how large it is."""
    data = Searched(vectors.rows, np.arange(len(vectors.rows)))
    with Database(url) as db:
        docs = db.collection("bench", config=CollectionConfig(dimensions=data.rows.shape[1], **KINDS[kind]))
        for part in np.array_split(np.arange(len(data.rows)), max(1, len(data.rows) // 10_000)):
            docs.add(data.chunks(part))
        start = time.perf_counter()
        report = docs.build_index()
        took = time.perf_counter() - start
        checkpoint(url)
        status = docs.index_status()
        return {
            "rows": len(data.rows),
            "build_s": round(took, 2),
            "built_at_load": machine()["load_1_min"],
            "warnings": list(report.warnings),
            "parameters": list(status.parameters),
            "index_bytes": status.index_bytes,
            "table_bytes": status.table_bytes,
        }


def search(url: str, vectors: Vectors, kind: str) -> dict[str, Any]:
    """Recall and latency by settings of the walk."""
    best = np.argsort(-(vectors.queries @ vectors.rows.T), axis=1, kind="stable")[:, :K]
    wanted = [{id_of(i) for i in row} for row in best.tolist()]
    settings = _LISTS if kind.startswith("ivfflat") else _HNSW
    with Database(url) as db:
        docs = db.collection("bench")
        return {_name(how): _searched(docs, vectors, wanted, how) for how in ({"exact": True}, *settings)}


def _name(how: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in how.items()) or "default"


def _searched(docs: Collection, vectors: Vectors, wanted: Sequence[set[str]], how: dict[str, Any]) -> dict[str, Any]:
    options = SearchOptions(**({"exact": False} | how))

    def ask(query: Any) -> set[str]:
        return {str(hit.chunk.id) for hit in docs.search(vector=query, k=K, options=options)}

    found = [ask(query) for query in vectors.queries]  # the warm-up, too
    hits = sum(len(near & ids) for near, ids in zip(wanted, found, strict=True))
    took = [seconds(partial(ask, query)) for query in vectors.queries]
    return {"recall_at_10": round(hits / (K * len(wanted)), 4), **latency(took)}


def _reports(options: argparse.Namespace, server: str, vectors: Vectors) -> dict[str, Any]:
    found = {}
    for kind in options.kinds:
        say(kind)
        with ExitStack() as stack:
            name = f"rag_bench_kinds_{kind.replace('-', '_')}"
            if options.home is None:
                url = stack.enter_context(database(server, f"{name}_{os.getpid()}"))
                built = build(url, vectors, kind)
            else:
                note = options.home / f"{kind}.json"
                url = kept_database(server, name, anew=not note.is_file())
                if not note.is_file():
                    note.write_text(json.dumps(build(url, vectors, kind)), encoding="utf-8")
                built = json.loads(note.read_text(encoding="utf-8"))
            found[kind] = built if options.build else {**built, "searched": search(url, vectors, kind)}
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m rag_pgvector.evals.bench.kinds", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--url", help="a server where databases may be created (default: an embedded one)")
    parser.add_argument("--data", type=Path, help="the research data (default: RAG_PGVECTOR_DATA, else clusters)")
    parser.add_argument("--dimensions", type=int, help="of clusters, instead of the data's 384")
    parser.add_argument("--rows", type=int, default=100_000, help="default 100000, at least 100")
    parser.add_argument("--queries", type=int, default=100, help="default 100, at most 300")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--home", type=Path, help="keep an embedded server here with what was built")
    parser.add_argument("--build", action="store_true", help="only load and index (needs --home)")
    options = parser.parse_args(arguments)
    if options.rows < 100 or options.queries < 1:
        parser.error(f"--rows {options.rows} --queries {options.queries}: use at least 100 rows and 1 query")
    if (options.build and options.home is None) or (options.url and options.home):
        parser.error("--build needs --home, and --home an embedded server: leave out --url")
    given = os.environ.get("RAG_PGVECTOR_DATA")
    folder = options.data or (Path(given) if given else None)

    def made() -> Vectors:
        if folder is None or options.dimensions is not None:
            return clusters(options.rows, options.queries, dimensions=options.dimensions or 384)
        return perturbed(folder, options.rows, options.queries)

    kept = None if options.home is None else options.home / "vectors.npz"
    vectors = kept_vectors(kept, made)
    with ExitStack() as stack:
        server = options.url or stack.enter_context(embedded_server(options.home))
        report = {
            "machine": machine(),
            "server": describe_server(server),
            "versions": versions("rag-pgvector", "pgvector"),
            "data": {"rows": len(vectors.rows), "dimensions": vectors.rows.shape[1], "from": vectors.origin},
            "k": K,
            "kinds": _reports(options, server, vectors),
        }
    tell(report, as_json=options.json, read=_print)
    return 0


def _print(report: dict[str, Any]) -> None:
    for kind, one in report["kinds"].items():
        print(f"{kind}: built in {one['build_s']} s, index {one['index_bytes'] >> 20} MB of {one['table_bytes'] >> 20}")
        for how, found in one.get("searched", {}).items():
            print(
                f"    {how:16} recall {found['recall_at_10']:.4f}  p50 {found['p50_ms']} ms  p95 {found['p95_ms']} ms"
            )


if __name__ == "__main__":
    sys.exit(main())
