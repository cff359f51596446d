"""Keyword search against BM25 worked out in Python: after any writes, whoever made them, and under any filter."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg import sql

from rag_pgvector import (
    Chunk,
    Collection,
    CollectionConfig,
    Database,
    Document,
    SearchOptions,
    keyword,
    postings,
    read,
    segment,
    write,
)
from rag_pgvector.config import Tenancy
from rag_pgvector.errors import DatabaseError
from rag_pgvector.fence import fenced
from rag_pgvector.intake import take_in
from rag_pgvector.plan import Execute, Plan, Step
from rag_pgvector.table import KEYWORD_KINDS
from tests.integration.keyword_oracle import agrees, bm25

KEYWORD = SearchOptions(mode="keyword")
WORDS = "alpha beta gamma delta running runs runner index indexes CVE-2026-3172 6.2% 数据库 ภาษา the".split()
Make = Callable[..., Collection]


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flushes and merges after a handful of documents, several blocks for a term; fresh segments of both forms."""
    monkeypatch.setattr(postings, "PENDING", 6)
    monkeypatch.setattr(postings, "FANOUT", 2)
    monkeypatch.setattr(segment, "BLOCK", 4)
    monkeypatch.setattr(segment, "BUCKETED", 12)
    monkeypatch.setattr(segment, "BUCKET", 3)


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


def test_four_writers_neither_wait_nor_deadlock_nor_lose_anything(db: Database, make: Make) -> None:
    docs = make()
    texts = {f"{writer}-{i}": f"alpha {WORDS[i % 5]} w{writer}" for writer in range(4) for i in range(60)}

    def write(writer: int) -> None:
        with Database(db.url) as own:
            mine = own.collection(docs.name)
            for i in range(60):
                mine.add([chunk(f"{writer}-{i}", texts[f"{writer}-{i}"])])
                if i % 3 == 2:
                    mine.delete([f"{writer}-{i - 1}"])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    left = {id_: text for id_, text in texts.items() if int(id_.split("-")[1]) % 3 != 1}
    for question in ("alpha", "w2 running", "beta"):
        agrees(docs.search(question, k=300, options=KEYWORD), bm25(left, question), left, 300)
    with psycopg.connect(db.url) as conn:
        query = sql.SQL("SELECT count(*) FROM {}").format(docs._table.relation("segments"))
        assert 0 < conn.execute(query).fetchall()[0][0] < 20, "merged on the way"


def test_a_phrase_in_a_sentence_is_preferred_not_required(make: Make) -> None:
    docs = make()
    docs.add([chunk("apart", "the pressure of blood, the blood of pressure"), chunk("other", "pressure cookers")])
    docs.add([chunk("together", "on blood pressure, and on many other things that were measured on that day")])
    plain = docs.search("what is said of blood pressure", options=KEYWORD)
    quoted = docs.search('what is said of "blood pressure"', options=KEYWORD)
    assert [hit.chunk.id for hit in plain] == ["apart", "together", "other"]
    assert [hit.chunk.id for hit in quoted] == ["together", "apart", "other"]
    assert quoted[1].score == plain[0].score
    assert "count twice" in quoted.plan.reason


def test_phrases_must_stand_in_the_text(make: Make) -> None:
    docs = make()
    docs.add([chunk("a", "high blood pressure"), chunk("b", "pressure of blood"), chunk("c", "blood  Pressure.")])
    assert {hit.chunk.id for hit in docs.search('"blood pressure"', k=9, options=KEYWORD)} == {"a", "c"}
    assert "1 phrases" in docs.search('"blood pressure"', options=KEYWORD).plan.reason
    assert len(docs.search("blood pressure", k=9, options=KEYWORD)) == 3


def test_a_chunk_without_an_embedding_is_found(make: Make) -> None:
    docs = make()
    document = Document(id="d", source="d.md", text="alpha beta", loader="text")
    docs.put_document(document, [Chunk(id="a", content="alpha beta")])
    assert [hit.chunk.id for hit in docs.search("beta", options=KEYWORD)] == ["a"]
    assert docs.get(["a"], embeddings=True)[0].embedding is None


def test_the_language_of_the_collection_counts(make: Make) -> None:
    german = make(language="german")
    german.add([chunk("a", "viele Häuser")])
    assert [hit.chunk.id for hit in german.search("Hauses", options=KEYWORD)] == ["a"]


def test_k1_and_b_are_those_of_the_search(make: Make) -> None:
    docs = make()
    texts = {"a": "alpha alpha beta", "b": "alpha", "c": "gamma delta"}
    docs.add(chunk(id_, text) for id_, text in texts.items())
    for k1, b in ((0.0, 0.0), (2.0, 1.0), (0.9, 0.4)):
        options = SearchOptions(mode="keyword", k1=k1, b=b)
        agrees(docs.search("alpha beta", options=options), bm25(texts, "alpha beta", k1=k1, b=b), texts, 4)


def test_a_write_that_fails_leaves_no_postings(make: Make, db: Database) -> None:
    docs = make()

    def failing() -> Plan[None]:
        records = write.prepare([chunk(str(i), "alpha") for i in range(50)], docs._table, [""] * 50)
        yield from write.upsert(docs._table, records)
        yield Execute(sql.SQL("SELECT 1/0"))

    with pytest.raises(DatabaseError):
        db.run(failing, atomic=True)
    assert len(docs.search("alpha", options=KEYWORD)) == 0
    docs.add([chunk("a", "alpha")])
    agrees(docs.search("alpha", options=KEYWORD), bm25({"a": "alpha"}, "alpha"), ["a"], 4)


@pytest.mark.parametrize("tenancy", ["single", "multi"])
def test_the_statement_uses_its_indexes(
    database_url: str, app_url: str, tenancy: Tenancy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under row-level security as well: only leakproof comparisons may stand in an index condition there."""
    monkeypatch.undo()
    with Database(database_url) as admin, Database(app_url, admin_url=database_url) as own:
        db = own if tenancy == "multi" else admin
        docs = db.collection("plan", config=CollectionConfig(dimensions=3, tenancy=tenancy), embedder=lambda t: t)
        bound = docs.for_tenant("acme") if tenancy == "multi" else docs
        for start in range(0, 3_000, 1_000):
            bound.add(chunk(str(i), f"alpha number{i} {WORDS[i % 7]}") for i in range(start, start + 1_000))
        with psycopg.connect(database_url, autocommit=True) as conn:
            for kind in ("postings", "segments"):
                conn.execute(sql.SQL("ANALYZE {}").format(docs._table.relation(kind)))
        asked = keyword.question_of(bound._table, "alpha number17")
        steps = [
            keyword.postings_statement(bound._table, asked),
            keyword.chunks_statement(bound._table, [1, 2]),
        ]

        def plan() -> Plan[str]:
            lines = []
            for step in steps:
                query = b"EXPLAIN " + step.query  # type: ignore[operator]
                lines += [row[0] for row in (yield Execute(query, step.params, prepare=False, numbered=True))]
            return "\n".join(lines)

        text = db.run(fenced(bound._table, plan, atomic=True), atomic=True)
    assert "Seq Scan on postings_plan" not in text
    assert re.search(r"Index Cond: .*segment = .*term = ", text), text
    assert re.search(r"Index Scan using seqkey_plan.*\n.*Index Cond: .*seq = ", text), text
    assert "unindexed_plan" in text


def test_collections_made_before_the_keyword_index_are_taken_in(database_url: str) -> None:
    with Database(database_url) as db:
        docs = db.collection("old", config=CollectionConfig(dimensions=3))
        with psycopg.connect(database_url) as conn:  # as the revision before left it
            for kind in KEYWORD_KINDS:
                conn.execute(sql.SQL("DROP TABLE {} CASCADE").format(docs._table.relation(kind)))
            for trigger in ("bury_chunks_on_update", "bury_chunks_on_delete", "truncate_postings"):
                conn.execute(sql.SQL("DROP TRIGGER {} ON rag.chunks_old").format(sql.Identifier(trigger)))
            conn.execute("DROP INDEX rag.seqkey_old, rag.unindexed_old")
            conn.execute("ALTER TABLE rag.chunks_old DROP COLUMN keyword_length")
            conn.execute(
                "ALTER TABLE rag.collections DROP COLUMN language, DROP COLUMN analyser_version, DROP COLUMN alpha"
            )
            later = conn.execute(
                "SELECT relname FROM pg_class WHERE relnamespace = 'rag'::regnamespace AND relkind = 'r' "
                "AND relname <> ALL('{alembic_version,api_keys,chunks_old,collections,documents,search_costs}')"
            ).fetchall()
            for (name,) in later:
                conn.execute(sql.SQL("DROP TABLE {} CASCADE").format(sql.Identifier("rag", name)))
            conn.execute("UPDATE rag.alembic_version SET version_num = '0005'")
            conn.execute(
                "INSERT INTO rag.chunks_old (id, content, embedding) "
                "SELECT 'r' || i, 'alpha ' || i, '[1,2,3]' FROM generate_series(1, 20) i"
            )
    with Database(database_url) as db:
        db.upgrade()
        docs = db.collection("old")
        found = docs.search("alpha", k=30, options=KEYWORD)
        assert (len(found), found.plan.unindexed) == (0, 20)
        docs.add([chunk("new", "alpha new")])
        assert take_in(db, docs._table) == 20
        texts = {f"r{i}": f"alpha {i}" for i in range(1, 21)} | {"new": "alpha new"}
        agrees(docs.search("alpha 7", k=30, options=KEYWORD), bm25(texts, "alpha 7"), texts, 30)


@pytest.mark.parametrize("filter", [None, {"n": 0}])
@pytest.mark.parametrize("writes", [1, 9])
def test_what_is_rewritten_between_the_statements_is_found(
    db: Database, make: Make, filter: dict[str, int] | None, writes: int
) -> None:
    """The best documents' chunks are gone when they are looked for: all is asked anew, and not for ever."""
    docs = make()
    texts = {f"{i}": "alpha beta" if i < 3 else "beta" for i in range(9)}
    docs.add(chunk(id_, text) for id_, text in texts.items())
    condition = None if filter is None else read.where(docs._table, filter=filter)
    asked = keyword.question_of(docs._table, "alpha beta")
    plan = keyword.search(docs._table, asked, k=3, condition=condition, options=KEYWORD)
    sent = 0

    def once(step: Step) -> Plan[list[Any]]:
        return (yield step)

    step = next(plan)
    try:
        while True:
            rows = db.run(lambda step=step: once(step))  # type: ignore[misc]
            if sent % 2 == 0 and sent < 2 * writes:  # the postings are read, and now the best one is another
                texts["1"] = f"alpha beta {'beta ' * sent}"
                docs.add([chunk("1", texts["1"])])
            sent += 1
            step = plan.send(rows)
    except StopIteration as stop:
        found, _ = stop.value
    assert sent == (4 if writes == 1 else 6)
    ids = {hit.row[0] for hit in found}
    if writes == 1:
        best = sorted(bm25(texts, "alpha beta").items(), key=lambda each: -each[1])[:3]
        assert ids == {id_ for id_, _ in best}
    else:  # whoever is rewritten all the time is missed, and another one takes the place
        assert len(ids) == 3
        assert {"0", "2"} <= ids
