"""Keyword search against BM25 worked out in Python: after any writes, whoever made them, and under any filter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg import sql

from rag_pgvector import Chunk, Collection, Database, SearchOptions, postings
from rag_pgvector.intake import take_in
from tests.integration.keyword_oracle import agrees, bm25

KEYWORD = SearchOptions(mode="keyword")
WORDS = "alpha beta gamma delta running runs runner index indexes CVE-2026-3172 6.2% 数据库 ภาษา the".split()
Make = Callable[..., Collection]


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flushes and merges after a handful of documents, several blocks for a term."""
    monkeypatch.setattr(postings, "PENDING", 6)
    monkeypatch.setattr(postings, "FANOUT", 2)
    monkeypatch.setattr(postings, "BLOCK", 4)


@pytest.fixture
def connection(db: Database) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(db.url, autocommit=True) as conn:
        yield conn


def chunk(id_: str, content: str, n: int = 0) -> Chunk:
    return Chunk(id=id_, content=content, metadata={"n": n}, embedding=[1, 2, 3])


TEXTS = st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join)
IDS = st.sampled_from("abcdefghijklmnopqrstuvw")
ROWS = st.dictionaries(IDS, st.tuples(TEXTS, st.integers(0, 3)), min_size=1, max_size=40)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), ROWS),
        st.tuples(st.just("delete"), st.lists(IDS, min_size=1, max_size=9)),
        st.tuples(st.just("delete by psql"), st.lists(IDS, min_size=1, max_size=9)),
        st.tuples(st.just("update by psql"), st.tuples(IDS, TEXTS)),
        st.tuples(st.just("metadata by psql"), st.tuples(IDS, st.integers(0, 3))),
        st.tuples(st.just("insert by psql"), st.tuples(IDS, TEXTS)),
        st.tuples(st.just("take in"), st.none()),
        st.tuples(st.just("truncate"), st.none()),
    ),
    min_size=1,
    max_size=12,
)


@settings(
    max_examples=40,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    steps=STEPS, question=st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join), k=st.integers(1, 30)
)
def test_it_agrees_with_the_oracle_after_any_writes(
    make: Make, connection: psycopg.Connection[Any], steps: list[tuple[str, Any]], question: str, k: int
) -> None:
    docs = make()
    table = docs._table.identifier
    rows: dict[str, tuple[str, int]] = {}
    unseen: set[str] = set()
    for kind, given_ in steps:
        if kind == "add":
            docs.add(chunk(id_, text, n) for id_, (text, n) in given_.items())
            unseen -= {id_ for id_, row in given_.items() if id_ not in rows or rows[id_] != row}
            rows |= given_
        elif kind == "delete":
            docs.delete(given_)
        elif kind == "delete by psql":
            connection.execute(sql.SQL("DELETE FROM {} WHERE id = ANY(%s)").format(table), (given_,))
        elif kind == "update by psql":
            connection.execute(sql.SQL("UPDATE {} SET content = %s WHERE id = %s").format(table), given_[::-1])
            if given_[0] in rows and rows[given_[0]][0] != given_[1]:
                rows[given_[0]] = (given_[1], rows[given_[0]][1])
                unseen.add(given_[0])
        elif kind == "metadata by psql":
            query = sql.SQL("UPDATE {} SET metadata = jsonb_build_object('n', %s::int) WHERE id = %s").format(table)
            connection.execute(query, given_[::-1])
            if given_[0] in rows:
                rows[given_[0]] = (rows[given_[0]][0], given_[1])
        elif kind == "insert by psql":
            if given_[0] not in rows:
                connection.execute("SELECT rag.upsert_chunk(%s, %s, %s, '{\"n\": 0}')", (docs.name, *given_))
                rows[given_[0]] = (given_[1], 0)
                unseen.add(given_[0])
        elif kind == "take in":
            assert take_in(docs._db, docs._table) == len(unseen)
            unseen.clear()
        elif kind == "truncate":
            connection.execute(sql.SQL("TRUNCATE {}").format(table))
        if kind.startswith("delete") or kind == "truncate":
            gone = set(rows) if kind == "truncate" else set(given_)
            rows = {id_: row for id_, row in rows.items() if id_ not in gone}
            unseen -= gone
        seen = {id_: text for id_, (text, _) in rows.items() if id_ not in unseen}
        scores = bm25(seen, question)
        result = docs.search(question, k=k, options=KEYWORD)
        agrees(result, scores, seen, k)
        assert result.plan.unindexed == len(unseen)
        filtered = docs.search(question, k=k, options=KEYWORD, filter={"n": {"$gte": 2}})
        agrees(filtered, scores, [id_ for id_ in seen if rows[id_][1] >= 2], k)
