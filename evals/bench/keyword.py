"""Keyword search alone: ``python -m rag_pgvector.evals.bench.keyword --json``.

Chunks of about 70 words are put together from sentences of real texts, drawn at random (--data, the folder of the
research data; sentences made of invented words where it is absent, and the report says which): words keep their
frequencies and their neighbours, documents do not. Questions are ten words in a row from such sentences. Four stages:

- ``sizes``: load, disk and latency at each of --rows.
- ``kept_up``: 10,000 chunks added one by one, 30 % of them deleted, 4 writers at once; the latency after each, and
  after everything was merged (``index build``).
- ``alternatives``: the same postings as one row per posting, and Postgres's own tsvector with ts_rank_cd.
- ``quality``: nDCG@10 on ir_scifact beside bm25s on the same tokens (where the data is).

``--home DIR`` keeps the server there with the sizes that were loaded, as they were loaded (nothing is merged): the next
run asks again. Delete the folder afterwards.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from rag_pgvector import Chunk, Collection, CollectionConfig, Database, SearchOptions
from rag_pgvector.analysis import analyser
from rag_pgvector.evals.bench.made_texts import WORDS, questions, sentences, texts
from rag_pgvector.evals.bench.measure import latency, machine, print_targets, seconds, target, tell, versions
from rag_pgvector.evals.bench.server import checkpoint, database, describe_server, embedded_server, kept_database, say
from rag_pgvector.evals.formats import read_beir
from rag_pgvector.evals.metrics import ndcg
from rag_pgvector.intake import take_in
from rag_pgvector.table import KEYWORD_KINDS

__all__ = ["main", "measure"]

K = 10
SINGLE, DELETED, WRITERS = 10_000, 0.3, 4
STAGES = ("sizes", "kept_up", "alternatives", "quality")
_KEYWORD = SearchOptions(mode="keyword")


def measure(
    server: str,
    data: Path | None,
    *,
    rows: Sequence[int],
    asked: int,
    single: int = SINGLE,
    stages: Sequence[str] = STAGES,
    home: Path | None = None,
) -> dict[str, Any]:
    """Run the stages on a server where the user may create databases, and return the report.

    ``home``: the server's folder, where what was loaded stays.
    """
    source, said = sentences(data)
    report: dict[str, Any] = {
        "machine": machine(),
        "server": describe_server(server),
        "versions": versions("rag-pgvector", "psycopg", "PyStemmer", "bm25s"),
        "text": f"chunks of {WORDS} words resampled from {len(source)} {said}",
        "analyser": _analyser_speed(source),
    }
    with ExitStack() as stack:
        url = stack.enter_context(database(server, f"rag_bench_{uuid.uuid4().hex[:8]}"))
        db = stack.enter_context(Database(url))
        if "sizes" in stages:
            if home is None:
                report["sizes"] = [_size(db, server, source, size, asked) for size in rows]
            else:
                report["sizes"] = [_kept_size(server, source, size, asked, home) for size in rows]
        if "kept_up" in stages:
            report["kept_up"] = _kept_up(db, source, single, asked)
        if "alternatives" in stages:
            report["alternatives"] = _alternatives(db, source, min(rows), asked)
    if "quality" in stages:
        report["quality"] = _quality(server, data)
    p50 = {size["rows"]: size["p50_ms"] for size in report.get("sizes", ())}
    report["targets"] = {
        "p50_ms_at_100k": target(p50.get(100_000), 8, at_most=True),
        "p50_ms_at_1M": target(p50.get(1_000_000), 60, at_most=True),
        "scifact_ndcg_from_bm25s": target(report.get("quality", {}).get("difference"), 0.01, at_most=True),
    }
    return report


def _analyser_speed(source: Sequence[str]) -> dict[str, float]:
    made = analyser("english")
    some = list(texts(source, 2_000, seed=5))
    tokens = sum(text.count(" ") + 1 for text in some)
    for text in some:
        made.terms(text)
    start = time.process_time()
    for text in some:
        made.terms(text)
    return {"million_words_per_s": round(tokens / (time.process_time() - start) / 1e6, 3)}


def _collection(db: Database) -> Collection:
    return db.collection(uuid.uuid4().hex[:12], config=CollectionConfig(dimensions=2))


def _chunk(id_: object, text: str) -> Chunk:
    return Chunk(id=str(id_), content=text, embedding=[1.0, 2.0])


def _load(docs: Collection, source: Sequence[str], count: int, *, seed: int = 0) -> float:
    """Seconds for ``count`` chunks, 10,000 a call."""
    made = enumerate(texts(source, count, seed=seed))
    took, left = 0.0, count
    while left:
        batch = [_chunk(i, text) for (i, text), _ in zip(made, range(min(10_000, left)), strict=False)]
        if not batch:
            break
        took += seconds(lambda batch=batch: docs.add(batch))  # type: ignore[misc]
        left -= len(batch)
    return took


def _ask(docs: Collection, asked: Sequence[str]) -> dict[str, float]:
    for question in asked[:20]:
        docs.search(question, k=K, options=_KEYWORD)
    return latency([seconds(lambda q=q: docs.search(q, k=K, options=_KEYWORD)) for q in asked])  # type: ignore[misc]


def _disk(db: Database, docs: Collection) -> dict[str, Any]:
    names = [docs._table.relation(kind).as_string(None) for kind in KEYWORD_KINDS]
    with psycopg.connect(db.url) as conn:
        row = conn.execute(
            "SELECT sum(pg_total_relation_size(n::regclass)) FROM unnest(%s::text[]) AS n", (names,)
        ).fetchone()
        segments = conn.execute(sql.SQL("SELECT count(*) FROM {}").format(docs._table.relation("segments"))).fetchone()
    assert row is not None
    assert segments is not None
    return {"mb": round(float(row[0]) / 1e6, 1), "segments": segments[0]}


def _size(db: Database, server: str, source: Sequence[str], rows: int, asked: int) -> dict[str, Any]:
    say(f"{rows} chunks")
    docs = _collection(db)
    took = _load(docs, source, rows)
    checkpoint(server)
    asking = questions(source, asked)
    report: dict[str, Any] = {"rows": rows, "add_rows_per_s": round(rows / took)}
    report |= {**_ask(docs, asking), **_disk(db, docs)}
    merging = seconds(lambda: take_in(db, docs._table))
    _vacuum(db, docs)
    report["merged"] = {"seconds": round(merging, 2), **_ask(docs, asking), **_disk(db, docs)}
    docs.drop()
    return report


def _kept_size(server: str, source: Sequence[str], rows: int, asked: int, home: Path) -> dict[str, Any]:
    """Load a size if no run before this one did, and ask."""
    note = home / f"keyword-{rows}.json"
    url = kept_database(server, f"rag_bench_keyword_{rows}", anew=not note.is_file())
    with Database(url) as db:
        docs = db.collection("bench", config=CollectionConfig(dimensions=2))
        if not note.is_file():
            say(f"{rows} chunks")
            took = _load(docs, source, rows)
            _vacuum(db, docs)
            checkpoint(server)
            note.write_text(json.dumps({"rows": rows, "add_rows_per_s": round(rows / took)}), encoding="utf-8")
        built: dict[str, Any] = json.loads(note.read_text(encoding="utf-8"))
        return {**built, **_ask(docs, questions(source, asked)), **_disk(db, docs)}


def _vacuum(db: Database, docs: Collection) -> None:
    """What autovacuum does sooner or later."""
    with psycopg.connect(db.url, autocommit=True) as conn:
        for kind in KEYWORD_KINDS:
            conn.execute(sql.SQL("VACUUM ANALYZE {}").format(docs._table.relation(kind)))


def _kept_up(db: Database, source: Sequence[str], single: int, asked: int) -> dict[str, Any]:
    docs = _collection(db)
    asking = questions(source, asked)
    report: dict[str, Any] = {"chunks": single}
    made = [_chunk(i, text) for i, text in enumerate(texts(source, single, seed=1))]
    say(f"{single} single adds")
    took = [seconds(lambda chunk=chunk: docs.add([chunk])) for chunk in made]  # type: ignore[misc]
    report["single_adds"] = {"write": latency(took), "slowest_ms": round(max(took) * 1e3, 1)}
    report["single_adds"] |= _state(db, docs, asking)
    gone = random.Random(2).sample(range(single), int(DELETED * single))
    say(f"{len(gone)} single deletes")
    for i in gone:
        docs.delete([str(i)])
    report["deletes"] = {"deleted": len(gone), **_state(db, docs, asking)}
    say(f"{WRITERS} writers")
    took = _write_together(docs, source, single // 10)
    report["writers"] = {"writers": WRITERS, "write": latency(took), "slowest_ms": round(max(took) * 1e3, 1)}
    report["writers"] |= _state(db, docs, asking)
    merging = seconds(lambda: take_in(db, docs._table))
    _vacuum(db, docs)
    report["merged"] = {"seconds": round(merging, 2), **_state(db, docs, asking)}
    docs.drop()
    return report


def _state(db: Database, docs: Collection, asking: Sequence[str]) -> dict[str, Any]:
    return {"search": _ask(docs, asking), **_disk(db, docs)}


def _write_together(docs: Collection, source: Sequence[str], each: int) -> list[float]:
    """``each`` single adds of every writer, all at once; the seconds of each. An error of a writer is raised."""
    took: list[float] = []
    failed: list[BaseException] = []

    def write(writer: int) -> None:
        try:
            for i, text in enumerate(texts(source, each, seed=10 + writer)):
                took.append(seconds(lambda i=i, text=text: docs.add([_chunk(f"{writer}-{i}", text)])))  # type: ignore[misc]
        except BaseException as error:  # noqa: BLE001  # raised below
            failed.append(error)

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    return took


# ----------------------------------------------------------------------------------------------------- alternatives

_FLAT = """SELECT seq, sum(idf / (1 + (1.2 * 0.25 + 1.2 * 0.75 * length / 50.0) / tf)) AS score
FROM bench_flat JOIN (
    SELECT term, ln(1 + (%s - count(*) + 0.5) / (count(*) + 0.5)) AS idf
    FROM bench_flat WHERE term = ANY(%s) GROUP BY term
) AS w USING (term) GROUP BY seq ORDER BY score DESC LIMIT 10"""
_TSVECTOR = """SELECT id FROM bench_text, (
    SELECT replace(plainto_tsquery('english', %s)::text, '&', '|')::tsquery AS query) AS q
WHERE words @@ query ORDER BY ts_rank_cd(words, query) DESC LIMIT 10"""


def _alternatives(db: Database, source: Sequence[str], rows: int, asked: int) -> dict[str, Any]:
    """Ten best of the same chunks, in other representations."""
    made, asking = analyser("english"), questions(source, asked)
    documents = list(texts(source, rows, seed=0))
    report: dict[str, Any] = {"rows": rows}
    with psycopg.connect(db.url, autocommit=True) as conn:
        say("one row per posting")
        conn.execute('CREATE TABLE bench_flat (seq bigint, length int, tf int, term text COLLATE "C")')
        with conn.cursor().copy("COPY bench_flat (seq, length, tf, term) FROM STDIN") as copy:
            for seq, text in enumerate(documents):
                terms = made.terms(text)
                for term, tf in terms.counts.items():
                    copy.write_row((seq, terms.length, tf, term))
        conn.execute("CREATE INDEX bench_flat_term ON bench_flat (term) INCLUDE (seq, tf, length)")
        conn.execute("VACUUM ANALYZE bench_flat")
        ask: Callable[[str], object] = lambda q: conn.execute(_FLAT, (rows, list(made.question(q).terms))).fetchall()  # noqa: E731
        report["row_per_posting"] = _timed(conn, ask, asking, "bench_flat")
        say("tsvector, ts_rank_cd")
        conn.execute("CREATE TABLE bench_text (id int, words tsvector)")
        conn.execute("CREATE TEMP TABLE bench_raw (id int, text text)")
        with conn.cursor().copy("COPY bench_raw (id, text) FROM STDIN") as copy:
            for i, text in enumerate(documents):
                copy.write_row((i, text))
        conn.execute("INSERT INTO bench_text SELECT id, to_tsvector('english', text) FROM bench_raw")
        conn.execute("CREATE INDEX bench_text_words ON bench_text USING gin (words)")
        conn.execute("VACUUM ANALYZE bench_text")
        report["tsvector"] = _timed(conn, lambda q: conn.execute(_TSVECTOR, (q,)).fetchall(), asking[:50], "bench_text")
        conn.execute("DROP TABLE bench_flat, bench_text")
    return report


def _timed(
    conn: psycopg.Connection[Any], ask: Callable[[str], object], asking: Sequence[str], name: str
) -> dict[str, float]:
    for question in asking[:5]:
        ask(question)
    took = latency([seconds(lambda q=q: ask(q)) for q in asking])  # type: ignore[misc]
    row = conn.execute("SELECT pg_total_relation_size(%s::regclass)", (name,)).fetchone()
    assert row is not None
    return took | {"mb": round(row[0] / 1e6, 1)}


# ---------------------------------------------------------------------------------------------------------- quality


def _quality(server: str, data: Path | None) -> dict[str, Any]:
    """nDCG@10 on ir_scifact, ours and bm25s's, of the same tokens and parameters."""
    if data is None or not (data / "ir_scifact" / "corpus.jsonl").exists():
        return {"left_out": "ir_scifact is not there"}
    try:
        import bm25s
    except ImportError:
        return {"left_out": "bm25s is not installed"}
    golden = read_beir(data / "ir_scifact")
    made = analyser("english")
    contents = {document.id: document.content for document in golden.documents}
    keys = list(contents)
    with database(server, f"rag_bench_{uuid.uuid4().hex[:8]}") as url, Database(url) as db:
        docs = _collection(db)
        docs.add(_chunk(key, contents[key]) for key in keys)
        ours = {}
        for query in golden.qrels:
            hits = docs.search(golden.queries[query], k=K, options=_KEYWORD)
            ours[query] = [str(hit.chunk.id) for hit in hits]
    peer = bm25s.BM25(method="lucene", k1=_KEYWORD.k1, b=_KEYWORD.b)
    tokens = [[term for term, tf in made.terms(contents[key]).counts.items() for _ in range(tf)] for key in keys]
    peer.index(tokens, show_progress=False)
    theirs = {}
    for query in golden.qrels:
        terms = [term for term, n in made.question(golden.queries[query]).terms.items() for _ in range(n)]
        found, _ = peer.retrieve([terms], k=K, show_progress=False)
        theirs[query] = [keys[i] for i in found[0]]

    def mean(rankings: dict[str, list[str]]) -> float:
        return sum(ndcg(rankings[q], golden.qrels[q], k=K) for q in golden.qrels) / len(golden.qrels)

    own, peers = mean(ours), mean(theirs)
    return {
        "queries": len(golden.qrels),
        "ndcg_at_10": round(own, 4),
        "bm25s_ndcg_at_10": round(peers, 4),
        "difference": round(abs(own - peers), 4),
    }


def _print(report: dict[str, Any]) -> None:
    for size in report.get("sizes", ()):
        print(f"{size['rows']} chunks: p50 {size['p50_ms']} ms, {size['mb']} MB; merged {size.get('merged')}")
    for name in ("kept_up", "alternatives", "quality"):
        for key, value in report.get(name, {}).items():
            print(f"{name}, {key}: {value}")
    print_targets(report)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns 0 whether or not the targets are met."""
    parser = argparse.ArgumentParser(prog="python -m rag_pgvector.evals.bench.keyword", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--data", type=Path, help="the folder of the research data")
    parser.add_argument("--url", help="a server where databases may be created (default: an embedded one)")
    parser.add_argument("--home", type=Path, help="keep an embedded server here, with what was loaded")
    parser.add_argument("--rows", type=int, action="append", help="may be repeated; default 100000")
    parser.add_argument("--queries", type=int, default=150, help="default 150")
    parser.add_argument("--single", type=int, default=SINGLE, help=f"chunks added one by one, default {SINGLE}")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES, help="default: all")
    options = parser.parse_args(arguments)
    if options.url and options.home:
        parser.error("--home is an embedded server's: leave out --url")
    with ExitStack() as stack:
        server = options.url or stack.enter_context(embedded_server(options.home))
        rows = options.rows or [100_000]
        report = measure(
            server,
            options.data,
            rows=rows,
            asked=options.queries,
            single=options.single,
            stages=options.stages,
            home=options.home,
        )
    tell(report, as_json=options.json, read=_print)
    return 0


if __name__ == "__main__":
    sys.exit(main())
