"""How postings are kept must not show in a result: segments in buckets, merged ones, those of earlier revisions."""

from __future__ import annotations

import random

import psycopg
import pytest
from psycopg import sql

from rag_pgvector import Chunk, CollectionConfig, Database, SearchOptions, migrations, postings, segment
from rag_pgvector.intake import take_in
from tests.integration.keyword_oracle import agrees, bm25

KEYWORD = SearchOptions(mode="keyword")
WORDS = [f"w{i}" for i in range(300)]
WEIGHTS = [1 / (i + 2) for i in range(len(WORDS))]


def texts_of(draw: random.Random, prefix: str, count: int) -> dict[str, str]:
    return {f"{prefix}-{i}": " ".join(draw.choices(WORDS, WEIGHTS, k=draw.randint(1, 40))) for i in range(count)}


def chunks(texts: dict[str, str]) -> list[Chunk]:
    return [Chunk(id=id_, content=text, embedding=[1, 2]) for id_, text in texts.items()]


def test_buckets_deletes_and_merges_agree_with_the_oracle(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment, "BUCKET", 64)
    docs = db.collection("segments", config=CollectionConfig(dimensions=2))
    relation = {kind: docs._table.relation(kind) for kind in ("postings", "segments")}
    draw = random.Random(20261126)
    texts: dict[str, str] = {}

    def check() -> None:
        for k in (1, 3, 10, 100):
            for _ in range(6):
                question = " ".join(draw.choices(WORDS, k=draw.randint(1, 7)))
                agrees(docs.search(question, k=k, options=KEYWORD), bm25(texts, question), list(texts), k)

    def count(what: str, kind: str) -> int:
        with psycopg.connect(db.url) as conn:
            query = sql.SQL("SELECT count(*) FROM {} WHERE {}").format(relation[kind], sql.SQL(what))
            return int(conn.execute(query).fetchall()[0][0])

    for call in range(postings.FANOUT - 1):
        new = texts_of(draw, str(call), 270)
        docs.add(chunks(new))
        texts |= new
        check()
    assert count("buckets > 0", "segments") == postings.FANOUT - 1
    assert count("terms IS NULL AND term <> ''", "postings") == 0
    new = texts_of(draw, "single", 3)  # pending, beside the segments
    docs.add(chunks(new))
    texts |= new
    asked = [" ".join(draw.choices(WORDS, k=4)) for _ in range(8)]
    best = {str(hit.chunk.id) for question in asked for hit in docs.search(question, k=5, options=KEYWORD)}
    gone = sorted(best | set(draw.sample(sorted(texts), 200)))
    docs.delete(gone)
    texts = {id_: text for id_, text in texts.items() if id_ not in gone}
    for question in asked:
        for k in (1, 3):
            agrees(docs.search(question, k=k, options=KEYWORD), bm25(texts, question), list(texts), k)
    check()
    new = texts_of(draw, "0", 270)  # the fifth segment, which replaces documents of the first
    docs.add(chunks(new))
    texts |= new
    assert count("buckets > 0", "segments") == 0, "merged"
    check()
    assert count("terms IS NOT NULL", "postings") == 0
    assert take_in(db, docs._table) == 0


def test_an_index_without_buckets_gets_them(database_url: str) -> None:
    texts = texts_of(random.Random(1), "old", 300)
    with Database(database_url) as db:
        docs = db.collection("older", config=CollectionConfig(dimensions=2))
        with psycopg.connect(database_url) as conn:  # as the revision before left it
            conn.execute("ALTER TABLE rag.postings_older DROP COLUMN terms, DROP COLUMN ends")
            conn.execute("ALTER TABLE rag.segments_older DROP COLUMN buckets")
            conn.execute("UPDATE rag.alembic_version SET version_num = '0010'")
    with Database(database_url) as db:
        assert db.upgrade() == migrations.HEAD
        docs = db.collection("older")
        docs.add(chunks(texts))
        agrees(docs.search("w1 w7 w30", k=300, options=KEYWORD), bm25(texts, "w1 w7 w30"), list(texts), 300)


def test_postings_that_were_numbers_become_bytes(database_url: str) -> None:
    texts = texts_of(random.Random(2), "old", 300)
    with Database(database_url) as db, psycopg.connect(database_url, autocommit=True) as conn:
        docs = db.collection("numbers", config=CollectionConfig(dimensions=2))
        docs.add(chunks(texts))
        conn.execute(  # as the revision before left it
            """CREATE FUNCTION rag.numbers(bytea) RETURNS bigint[] LANGUAGE sql IMMUTABLE AS $$
            SELECT array_agg(('x' || encode(substring($1 FROM 8 * n + 1 FOR 8), 'hex'))::bit(64)::bigint ORDER BY n)
            FROM generate_series(0, octet_length($1) / 8 - 1) AS n $$"""
        )
        conn.execute("ALTER TABLE rag.postings_numbers ALTER postings TYPE bigint[] USING rag.numbers(postings)")
        conn.execute("UPDATE rag.alembic_version SET version_num = '0011'")
    with Database(database_url) as db:
        assert db.upgrade() == migrations.HEAD
        docs = db.collection("numbers")
        for question in ("w1 w7 w30", "w0"):
            agrees(docs.search(question, k=300, options=KEYWORD), bm25(texts, question), list(texts), 300)


def test_a_call_whose_first_rows_are_stored_ahead_of_the_others(db: Database) -> None:
    """Old, changed and new rows on both sides of the border; each is counted and found once."""
    docs = db.collection("ahead", config=CollectionConfig(dimensions=2))
    draw = random.Random(7)
    texts = texts_of(draw, "row", 400)
    ids = sorted(texts)
    docs.add(chunks({id_: texts[id_] for id_ in ids[::2]}))
    changed = [*ids[2:12:2], *ids[300:320:2]]
    texts |= {id_: f"w1 changed {id_}" for id_ in changed}
    given = chunks(texts)
    draw.shuffle(given)
    counts = docs.upsert(given)
    assert (counts.added, counts.updated, counts.unchanged) == (200, len(changed), 200 - len(changed))
    for question in ("changed", "w0 w7", "w1"):
        for k in (5, 500):
            agrees(docs.search(question, k=k, options=KEYWORD), bm25(texts, question), list(texts), k)
    assert docs.upsert(given).unchanged == 400
