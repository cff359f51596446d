"""Plans driven by hand: which statements they send, in which order, and what they make of the rows. No database."""

from __future__ import annotations

import logging
import re
import struct
from collections.abc import Iterator
from typing import Any, TypeVar

import pytest
from psycopg import sql

from rag_pgvector import documents, index, keyword, read, schema, write
from rag_pgvector.config import CollectionConfig, Distance, SearchOptions, Storage
from rag_pgvector.errors import CollectionNotFoundError, ExtensionError
from rag_pgvector.plan import Batch, Compute, CopyIn, Execute, Plan, Row, Step, Together, together
from rag_pgvector.postings import PENDING
from rag_pgvector.table import Table
from rag_pgvector.types import Chunk, Document, WriteCounts
from rag_pgvector.write import SMALL_WRITE, Record, prepare, upsert

T = TypeVar("T")


def table(distance: Distance = "cosine", storage: Storage = "vector") -> Table:
    return Table(1, "docs", "chunks_docs", CollectionConfig(dimensions=3, distance=distance, storage=storage))


def drive(plan: Plan[T], *replies: list[Row]) -> tuple[list[Step], T]:
    """Send the replies in order; the steps that asked for them, and the plan's result."""
    steps = []
    try:
        step = next(plan)
        for reply in replies:
            steps.append(step)
            step = plan.send(reply)
    except StopIteration as stop:
        assert len(steps) == len(replies), "the plan ended early"
        return steps, stop.value
    raise AssertionError(f"the plan wants more: {text(step)}")


def text(step: Step) -> str:
    if isinstance(step, (Batch, Together)):
        return "; ".join(map(text, step.steps))
    assert not isinstance(step, Compute)
    return step.query.decode() if isinstance(step.query, bytes) else step.query.as_string(None)


def hit(id: str, distance: float) -> Row:
    return (id, f"text of {id}", '{"n": 1}', None, "a.md", 2, 0, 9, None, distance)


def record(id: str) -> Record:
    [made] = prepare([Chunk(id=id, content=f"text of {id}", embedding=[1, 2, 3])], table(), [""])
    return made


def test_plans_together_share_their_round_trips() -> None:
    def counting(start: int, rounds: int) -> Plan[int]:
        for i in range(rounds):
            rows = yield Execute(sql.SQL("SELECT"), (start + i,))
            assert rows == [(start + i,)]
        return start

    plan = together([counting(10, 2), counting(20, 0), counting(30, 1)])
    steps, result = drive(plan, [((10,),), ((30,),)], [((11,),)])
    assert result == [10, 20, 30]
    assert [[part.params[0] for part in step.steps] for step in steps] == [[10, 30], [11]]  # type: ignore[union-attr]
    assert drive(together([]))[1] == []


# ------------------------------------------------------------------------------------------------------------- writing


def test_nothing_to_write_sends_nothing() -> None:
    assert drive(upsert(table(), [])) == ([], WriteCounts())


def test_a_small_write_is_one_statement_sorted_by_id() -> None:
    records = [record(f"id{i:02}") for i in reversed(range(SMALL_WRITE))]
    [step], counts = drive(upsert(table(), records), [(20, 7, 0)])
    assert isinstance(step, Execute)
    ids = [value for value in step.params if isinstance(value, str) and value.startswith("id")]
    assert ids == sorted(ids)
    assert len(ids) == SMALL_WRITE
    assert counts == WriteCounts(added=20, updated=7, unchanged=5)


def test_a_write_that_fills_the_pending_documents_makes_them_a_segment() -> None:
    [_, lock, flush, segments], _ = drive(
        upsert(table(), [record("a")]), [(1, 0, PENDING)], [(True,)], [], [(1, PENDING + 1, 0)]
    )
    assert "pg_try_advisory_xact_lock" in text(lock)
    assert "pending_docs" in text(flush)
    assert "segments_docs" in text(segments)
    [_, _], _ = drive(upsert(table(), [record("a")]), [(1, 0, PENDING)], [(False,)])  # somebody else is at it


def test_a_large_write_is_staged_and_upserted_in_the_order_of_ids() -> None:
    records = [record(f"id{i}") for i in range(SMALL_WRITE + 1)]
    seqs: list[Row] = [(i,) for i in range(len(records))]
    (create, copy, store), counts = drive(upsert(table(), records), seqs, [], [(30, 1, 0)])
    assert text(create).startswith("CREATE TEMP TABLE rag_staging")
    assert "ON COMMIT DROP" in text(create)
    assert isinstance(copy, CopyIn)
    assert list(copied_ids(b"".join(copy.blocks))) == [f"id{i}" for i in range(SMALL_WRITE + 1)]
    assert "FROM pg_temp.rag_staging" in text(store)
    assert "FROM given ORDER BY id" in text(store)
    assert isinstance(store, Execute)
    assert store.prepare is False
    assert counts == WriteCounts(added=30, updated=1, unchanged=2)


def test_many_new_rows_are_copied_into_the_table_itself() -> None:
    records = [record(f"id{i:03}") for i in reversed(range(PENDING + 1))]
    plan = upsert(table(), records)
    together = next(plan)
    assert isinstance(together, Together)
    copy = plan.send([tuple((i,) for i in range(len(records))), ((False,),)])
    assert isinstance(copy, CopyIn)
    assert copy.or_undo
    assert 'COPY "rag"."chunks_docs" ("tenant_id", "id",' in text(copy)
    assert next(copied_ids(b"".join(copy.blocks))) == "", "the tenant of a collection without tenants"
    making = plan.send([(True,)])
    assert isinstance(making, Compute), "they are waited for without holding up a loop"
    postings = plan.send([(making.work(),)])
    assert 'COPY "rag"."postings_docs"' in text(postings)


@pytest.mark.parametrize("known", [True, False], ids=["an id is there", "an id came meanwhile"])
def test_many_rows_of_which_one_is_known_are_staged(known: bool) -> None:
    records = [record(f"id{i:03}") for i in range(PENDING + 1)]
    plan = upsert(table(), records)
    next(plan)
    step = plan.send([tuple((i,) for i in range(len(records))), ((known,),)])
    if not known:
        step = plan.send([(False,)])
    assert text(step).startswith("CREATE TEMP TABLE rag_staging")


def test_with_tenants_nothing_is_copied_into_the_table_itself() -> None:
    fenced = Table(1, "docs", "chunks_docs", CollectionConfig(dimensions=3, tenancy="multi"), tenant="a")
    step = next(upsert(fenced, [record(f"id{i:03}") for i in range(PENDING + 1)]))
    assert text(step).startswith("CREATE TEMP TABLE rag_staging"), "COPY does not work under row-level security"


def copied_ids(blob: bytes) -> Iterator[str]:
    """Read COPY's binary format back: the first field of every row."""
    assert blob[:11] == b"PGCOPY\n\xff\r\n\0"
    position = 19
    while (fields := struct.unpack_from(">h", blob, position)[0]) != -1:
        position += 2
        for i in range(fields):
            (length,) = struct.unpack_from(">i", blob, position)
            position += 4
            if i == 0:
                yield blob[position : position + length].decode()
            position += max(length, 0)
    assert position + 2 == len(blob), "the trailer is the last thing"


def test_the_last_of_a_repeated_id_stays() -> None:
    chunks = [Chunk(id="a", content="1"), Chunk(id="b", content="2"), Chunk(id="a", content="3")]
    assert {r.id: r.content for r in prepare(chunks, table(), [""] * 3)} == {"a": "3", "b": "2"}


def test_get_keeps_the_order_asked_and_leaves_out_what_is_missing() -> None:
    _, chunks = drive(read.get(table(), ["b", "x", "a", "b"]), [hit("a", 0)[:9], hit("b", 0)[:9]])
    assert [chunk.id for chunk in chunks] == ["b", "a", "b"]


def test_a_document_is_stored_staged_pruned_and_upserted() -> None:
    document = Document(id="d", source="d.md", text="text", loader="text")
    plan = documents.put_document(table(), document, [record("a")])
    steps, counts = drive(plan, [], [(7,)], [], [(3,)], [(1, 0, 0)])
    assert [text(step).split()[0] for step in steps] == ["INSERT", "CREATE", "COPY", "WITH", "WITH"]
    assert "DELETE" in text(steps[3])
    assert counts == WriteCounts(added=1, deleted=3)


# ------------------------------------------------------------------------------------------------------ schema, index


def test_creating_a_collection_takes_the_lock_first_and_keeps_what_is_there() -> None:
    stored = {
        "id": 7,
        "name": "docs",
        "table_name": "chunks_docs",
        "dimensions": 3,
        "distance": "l2",
        "storage": "halfvec",
        "tenancy": "single",
        "hnsw_m": 16,
        "hnsw_ef_construction": 64,
        "language": "english",
        "analyser_version": 1,
        "index_method": "hnsw",
        "quantization": None,
        "ivfflat_lists": None,
    }
    (lock, _), found = drive(
        schema.create_collection("docs", CollectionConfig(dimensions=8)),
        [],
        [(*(stored[name] for name in schema._COLLECTION_COLUMNS.as_string(None).split(", ")), None)],
    )
    assert "pg_advisory_xact_lock" in text(lock)
    assert (found.collection_id, found.config.dimensions, found.config.distance) == (7, 3, "l2")


def test_binding_an_embedder_to_a_dropped_collection_says_so() -> None:
    with pytest.raises(CollectionNotFoundError, match="'docs' was dropped"):
        drive(schema.bind_embedder(table(), "m", [1.0]), [], [])


@pytest.mark.parametrize(
    ("version", "problem"), [("0.7.4", "0.7.4"), ("0.8.0", ""), ("0.8.4", ""), ("0.10.0", ""), ("1.0", "")]
)
def test_the_version_of_the_extension_is_compared_as_numbers(
    version: str, problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    if problem:
        with pytest.raises(ExtensionError, match="ALTER EXTENSION vector UPDATE"):
            drive(schema.require_extension(), [(version,)])
    else:
        assert drive(schema.require_extension(), [(version,)])[1] == version
        assert bool(caplog.records) == (version == "0.8.0")


def test_a_missing_extension_is_created_only_where_asked() -> None:
    with pytest.raises(ExtensionError, match="CREATE EXTENSION vector"):
        drive(schema.require_extension(), [])
    steps, found = drive(schema.require_extension(create=True), [], [], [], [("0.8.5",)])
    assert found == "0.8.5"
    assert "advisory" in text(steps[1])
    assert text(steps[2]) == "CREATE EXTENSION IF NOT EXISTS vector"


def build(index_is: list[bool | None], claims: list[bool], **options: Any) -> tuple[list[str], Any]:
    """Drive an index build with what it finds each time that it looks at the index, and tries to become the builder."""
    plan = index.build(table(), index.BuildOptions(**options))
    sent = []
    reply: list[Row] = []
    try:
        step = next(plan)
        while True:
            sent.append(text(step))
            if "SELECT indisvalid" in sent[-1]:
                found = index_is.pop(0)
                reply = [] if found is None else [(found,)]
            elif "RETURNING true" in sent[-1]:
                reply = [(True,)] if claims.pop(0) else []
            elif "row_security_active" in sent[-1]:
                reply = [(False, 9.0)]
            elif "maintenance_work_mem'" in sent[-1]:
                reply = [(1 << 30, 2, "posix")]
            else:
                reply = [(9,)] if sent[-1].startswith("SELECT") else []
            step = plan.send(reply)
    except StopIteration as stop:
        assert index_is == []
        assert claims == []
        return sent, stop.value


def test_a_second_builder_polls_and_finds_the_index_there() -> None:
    sent, report = build([None, None, True], [False, False])
    assert sum("pg_sleep" in query for query in sent) == 2
    assert (report.state, report.reason) == ("valid", "it was there")
    assert not any("CREATE INDEX" in query for query in sent)
    sent, report = build([False, True], [True])
    assert report.reason == "it was there", "it was built between looking and claiming"
    assert sent[-1].endswith("SET index_build_at = NULL WHERE id = %s")


def test_an_invalid_leftover_is_dropped_before_building() -> None:
    sent, report = build([False, False], [True])
    create = next(i for i, query in enumerate(sent) if "CREATE INDEX" in query)
    assert any('DROP INDEX CONCURRENTLY IF EXISTS "rag"."hnsw_docs"' in query for query in sent[:create])
    assert report.reason == "built"
    assert "CONCURRENTLY" in sent[create]


def test_a_rebuild_replaces_the_index_only_when_the_new_one_stands() -> None:
    sent, report = build([True], [True], rebuild=True)
    dropped = [i for i, query in enumerate(sent) if "DROP INDEX" in query]
    create = next(i for i, query in enumerate(sent) if "CREATE INDEX" in query)
    assert '"newhnsw_docs"' in sent[create]
    assert not any('"hnsw_docs"' in sent[i] for i in dropped)
    assert sent[create + 1].count("RENAME") == 2, "both in one transaction"
    assert '"oldhnsw_docs"' in sent[create + 2]
    assert report.reason == "rebuilt"


def test_through_a_pooler_no_setting_is_made() -> None:
    for session in (True, False):
        sent, _ = build([None, None], [True], session=session, memory=1 << 30, parallel=False)
        assert any(query.startswith("SET ") for query in sent) == session


def test_a_small_collection_needs_no_index() -> None:
    sent, report = build([None, None], [True], min_rows=10)
    assert report.state == "not_needed"
    assert "9 rows" in report.reason
    assert not any("CREATE INDEX" in query for query in sent)


def test_every_statement_quotes_the_table() -> None:
    odd = Table(1, 'o"dd', 'chunks_o"dd', CollectionConfig(dimensions=3))
    [step], _ = drive(read.count(odd, None), [(0,)])
    assert text(step) == 'SELECT count(*) FROM "rag"."chunks_o""dd"'
    assert isinstance(index.create_index_sql(odd), sql.Composed)
    assert '"rag"."chunks_o""dd"' in index.create_index_sql(odd).as_string(None)


def test_writes_name_every_column_once() -> None:
    [step], _ = drive(upsert(table(), [record("a")]), [(1, 0, 0)])
    assert isinstance(step, Execute)
    assert text(step).count("%s") == len(step.params)
    assert write.embedding_hash("text of a") in step.params


@pytest.mark.parametrize("text_", ["kite", "kite on a string", '"red kite"'])
@pytest.mark.parametrize("k", [4, 100])
@pytest.mark.parametrize("filter", [None, {"n": 1}])
def test_a_keyword_search_binds_all_that_it_sends(text_: str, k: int, filter: dict[str, int] | None) -> None:
    asked = keyword.question_of(table(), text_)
    condition = read.where(table(), filter=filter)
    head = struct.pack(">4q", 2, 6, 0, 99)  # two documents, six tokens, all indexed; one that is gone
    posting = struct.pack(">q", 5 << 32 | 1 << 21 | 3)
    blocks = [(0, 0, head), *((place, 1, posting) for place in range(1, len(asked.terms) + 1)), (1, 2, None)]
    plan = keyword.search(table(), asked, k=k, condition=condition, options=SearchOptions())
    reply = (*hit("a", 0.5), *((6,) if filter is None and '"' not in text_ else (1.0, 6, 1)))
    steps, (found, said) = drive(plan, blocks, [reply])
    assert ([each.row[0] for each in found], found[0].distance, said.unindexed) == (["a"], 0.5, 0)
    for step in steps:
        assert isinstance(step, Execute)
        if not step.numbered:
            assert text(step).count("%s") == len(step.params)
            continue
        assert isinstance(step.query, bytes)
        assert re.findall(rb"\$\d+", step.query) == [b"$%d" % (i + 1) for i in range(len(step.params))]
        assert b"%" not in step.query
    last = steps[1]
    assert isinstance(last, Execute)
    assert last.params[0] == "{6}"
    assert last.numbered == (filter is None and '"' not in text_)
