"""Keyword search while several transactions are open: in each of them, and outside, it is BM25 of the rows seen there.

The rows that a transaction sees are the oracle's texts, so nothing has to be known of isolation levels: what a write
leaves in the keyword index must become visible, or be undone, with the rows themselves.
"""

from __future__ import annotations

import math
import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import Any, TypeVar

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg import IsolationLevel, sql
from psycopg.pq import TransactionStatus

from rag_pgvector import Chunk, CollectionConfig, Database, SearchOptions, keyword, postings, segment, write
from rag_pgvector.config import Tenancy
from rag_pgvector.drivers import drive
from rag_pgvector.fence import fenced
from rag_pgvector.plan import Execute, Plan, Row
from rag_pgvector.table import Table
from tests.integration.keyword_oracle import bm25

T = TypeVar("T")

LONG = bool(os.environ.get("RAG_PGVECTOR_LONG"))
EXAMPLES = 1_000 if LONG else 8
KEYWORD = SearchOptions(mode="keyword")
WORDS = "alpha beta gamma delta running runs runner index".split()
#: For whom (where there are tenants), and what a transaction sees of the others.
WRITERS = (
    ("acme", IsolationLevel.READ_COMMITTED),
    ("acme", IsolationLevel.READ_COMMITTED),
    ("acme", IsolationLevel.REPEATABLE_READ),
    ("bolt", IsolationLevel.READ_COMMITTED),
)
#: What a transaction that meets another's row may end with.
CONFLICTS = (psycopg.errors.LockNotAvailable, psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected)


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flushes and merges after a handful of documents; fresh segments of both forms."""
    monkeypatch.setattr(postings, "PENDING", 5)
    monkeypatch.setattr(postings, "FANOUT", 2)
    monkeypatch.setattr(segment, "BLOCK", 4)
    monkeypatch.setattr(segment, "BUCKETED", 12)
    monkeypatch.setattr(segment, "BUCKET", 3)


IDS = st.sampled_from("abcdefghijklmnopqrstuvw")
TEXTS = st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join)
STEPS = st.lists(
    st.tuples(
        st.integers(0, len(WRITERS) - 1),
        st.one_of(
            st.tuples(st.just("upsert"), st.dictionaries(IDS, TEXTS, min_size=8)),  # a segment
            st.tuples(st.just("upsert"), st.dictionaries(IDS, TEXTS, min_size=8)),
            st.tuples(st.just("upsert"), st.dictionaries(IDS, TEXTS, min_size=1, max_size=4)),  # pending
            st.tuples(st.just("delete"), st.lists(IDS, min_size=1, max_size=9)),
            st.tuples(st.just("update by SQL"), st.dictionaries(IDS, TEXTS, min_size=1, max_size=3)),
            st.tuples(st.just("insert by SQL"), st.dictionaries(IDS, TEXTS, min_size=1, max_size=3)),
            st.tuples(st.sampled_from(["take in", "clean up", "commit", "commit", "roll back"]), st.none()),
        ),
    ),
    min_size=12,
    max_size=30,
)


@pytest.mark.parametrize("tenancy", ["single", "multi"])
@pytest.mark.timeout(3_000 if LONG else 300)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=STEPS, question=st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join))
def test_every_transaction_finds_what_it_sees(
    tenant_db: Database,
    tenancy: Tenancy,
    steps: list[tuple[int, tuple[str, Any]]],
    question: str,
) -> None:
    docs = tenant_db.collection(str(uuid.uuid4()), config=CollectionConfig(dimensions=3, tenancy=tenancy))
    names = {tenant for tenant, _ in WRITERS}
    bound = {name: (docs.for_tenant(name) if tenancy == "multi" else docs)._table for name in names}
    tables = [bound[tenant] for tenant, _ in WRITERS]
    with connected(tenant_db.url, len(WRITERS)) as connections, connected(tenant_db.url, 1) as [outside]:
        for connection, (_, isolation) in zip(connections, WRITERS, strict=True):
            connection.isolation_level = isolation
        for writer, (kind, given_) in [*steps, *((writer, ("commit", None)) for writer in range(len(tables)))]:
            connection, table = connections[writer], tables[writer]
            try:
                perform(connection, table, kind, given_)
            except CONFLICTS:
                connection.rollback()
            everybody = zip(connections, tables, strict=True)
            for each, its in everybody if kind == "commit" else [(connection, table)]:
                if each.info.transaction_status == TransactionStatus.INTRANS:
                    agrees(each, its, question)
            agrees(outside, table, question)
            outside.rollback()


@contextmanager
def connected(url: str, count: int) -> Iterator[list[psycopg.Connection[Any]]]:
    with ExitStack() as stack:
        yield [stack.enter_context(closing(psycopg.connect(url, options="-c lock_timeout=20ms"))) for _ in range(count)]


def run(connection: psycopg.Connection[Any], table: Table, plan: Plan[T]) -> T:
    """In the connection's transaction, whose tenant it names first."""
    return drive(connection, fenced(table, lambda: plan, atomic=True)())


def statement(query: sql.Composed, params: Sequence[Any]) -> Plan[list[Row]]:
    return (yield Execute(query, params))


def perform(connection: psycopg.Connection[Any], table: Table, kind: str, given_: Any) -> None:
    if kind == "upsert":
        chunks = [Chunk(id=id_, content=text, embedding=[1, 2, 3]) for id_, text in given_.items()]
        run(connection, table, write.upsert(table, write.prepare(chunks, table, [""] * len(chunks))))
    elif kind == "delete":
        run(
            connection,
            table,
            write.delete(table, sql.SQL("id = ANY(%s) AND {}").format(table.owner_condition), (given_, *table.owner)),
        )
    elif kind == "update by SQL":
        query = sql.SQL("UPDATE {} SET content = %s WHERE id = %s AND {}").format(
            table.identifier, table.owner_condition
        )
        for id_ in sorted(given_):
            run(connection, table, statement(query, (given_[id_], id_, *table.owner)))
    elif kind == "insert by SQL":
        names = sql.SQL(", ").join(map(sql.Identifier, table.owner_columns))
        query = sql.SQL("INSERT INTO {} ({}, id, content) VALUES ({}) ON CONFLICT DO NOTHING").format(
            table.identifier, names, sql.SQL(", ").join([sql.SQL("%s")] * (len(table.owner_columns) + 2))
        )
        for id_ in sorted(given_):
            run(connection, table, statement(query, (*table.owner, id_, given_[id_])))
    elif kind == "take in":
        run(connection, table, postings.take_in(table))
    elif kind == "clean up":
        run(connection, table, postings.clean_up(table, flush_all=True))
    elif kind == "commit":
        connection.commit()
    else:
        connection.rollback()


def agrees(connection: psycopg.Connection[Any], table: Table, question: str) -> None:
    query = sql.SQL("SELECT id, content FROM {} WHERE keyword_length IS NOT NULL AND {}")
    rows = run(connection, table, statement(query.format(table.identifier, table.owner_condition), table.owner))
    seen: dict[str, str] = dict(rows)
    plan = keyword.search(table, keyword.question_of(table, question), k=100, condition=None, options=KEYWORD)
    hits, _ = run(connection, table, plan)
    found, expected = {hit.row[0]: hit.score for hit in hits}, bm25(seen, question)
    assert found.keys() == expected.keys()
    assert all(math.isclose(found[id_], expected[id_], rel_tol=1e-5) for id_ in found)
