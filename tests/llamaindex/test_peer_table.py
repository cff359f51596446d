"""Tables of llama-index-vector-stores-postgres: that package and ours read and write the same rows."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from llama_index.core.schema import BaseNode, IndexNode, NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.types import FilterOperator, VectorStoreQuery, VectorStoreQueryMode
from llama_index.vector_stores.postgres import PGVectorStore as PeerStore
from psycopg import sql
from sqlalchemy import create_engine, make_url
from sqlalchemy.ext.asyncio import create_async_engine

from rag_pgvector import Database, SearchOptions
from rag_pgvector.errors import CollectionMismatchError, CollectionNotFoundError, ConfigError
from rag_pgvector.llamaindex import PGVectorStore
from rag_pgvector.llamaindex.query import read_query
from tests.llamaindex.test_store import animals, ids, near, node, where

HNSW = {"hnsw_m": 16, "hnsw_ef_construction": 64, "hnsw_ef_search": 40}


@pytest.fixture
def url(module_database_url: str) -> str:
    return module_database_url


@pytest.fixture
def peer(url: str) -> Iterator[Callable[..., Any]]:
    """Makes stores of the peer."""
    made: list[Any] = []

    def make(table: str, **options: Any) -> Any:
        address = make_url(url)
        store = PeerStore.from_params(
            connection_string=address.set(drivername="postgresql+psycopg2").render_as_string(hide_password=False),
            async_connection_string=address.set(drivername="postgresql+asyncpg").render_as_string(hide_password=False),
            table_name=table,
            embed_dim=2,
            **options,
        )
        made.append(store)
        return store

    yield make
    for store in made:
        asyncio.run(store.close())


def ours(db: Database, table: str, **options: Any) -> PGVectorStore:
    return PGVectorStore(connection=db, table_name=table, **{"embed_dim": 2, **options})


def rows(url: str, statement: str, *params: Any) -> list[Any]:
    with psycopg.connect(url, autocommit=True) as conn:
        return conn.execute(statement, params or None).fetchall()  # type: ignore[arg-type, no-any-return, unused-ignore]


def read_by(theirs: Any, *wanted: str) -> list[BaseNode]:
    """By a query: the peer's get_nodes cannot read a halfvec."""
    return [found for found in theirs.query(near([1, 0], 100)).nodes if found.node_id in wanted]


SHAPES = pytest.mark.parametrize(
    "shape",
    [
        {},
        {"use_jsonb": True, "hybrid_search": True, "hnsw_kwargs": HNSW},
        {"use_halfvec": True, "hnsw_kwargs": {**HNSW, "hnsw_dist_method": "halfvec_cosine_ops"}},
        {"schema_name": "other", "indexed_metadata_keys": {("n", "int")}},
    ],
    ids=["plain", "jsonb hybrid hnsw", "halfvec", "schema"],
)


@SHAPES
def test_what_the_peer_wrote_is_read_and_written_in_place(
    db: Database, peer: Callable[..., Any], shape: dict[str, Any]
) -> None:
    table = f"P{uuid.uuid4().hex[:8]}"  # it is folded to lower case
    theirs = peer(table, **{**shape, "hnsw_kwargs": dict(shape["hnsw_kwargs"]) if "hnsw_kwargs" in shape else None})
    theirs.add(animals())
    theirs.add(animals()[:1])  # twice: the peer makes a second row
    store = ours(db, table, schema_name=shape.get("schema_name"), perform_setup=False)
    assert store.query(near([1, 0], 10)).ids.count("fox") == 2
    [bee] = store.get_nodes(["bee"])
    assert bee.to_dict() == {**animals()[2].to_dict(), "embedding": [0.0, 1.0]}
    store.add([node("fox", "changed", [1, 0], "d1", n=7)])
    assert store.query(near([1, 0], 10)).ids.count("fox") == 1
    [fox] = read_by(theirs, "fox")
    assert (fox.get_content(), fox.metadata) == ("changed", {"n": 7})
    store.delete("d2")
    assert ids(read_by(theirs, "fox", "hound", "bee")) == ["fox", "hound"]
    theirs.delete("d1")
    assert store.query(near([1, 0], 10)).ids == []


@SHAPES
def test_what_we_made_the_peer_reads_and_writes(db: Database, peer: Callable[..., Any], shape: dict[str, Any]) -> None:
    table = f"o{uuid.uuid4().hex[:8]}"
    store = ours(db, table, **shape)
    index = IndexNode(id_="index", text="fox points", index_id="fox", embedding=[1, 0.2], metadata={"n": 3})
    store.add([*animals(), index])
    theirs = peer(table, **{**shape, "hnsw_kwargs": dict(shape["hnsw_kwargs"]) if "hnsw_kwargs" in shape else None})
    [found] = read_by(theirs, "index")
    assert isinstance(found, IndexNode)
    assert (found.index_id, found.metadata, found.get_content()) == ("fox", {"n": 3}, "fox points")
    assert theirs.query(near([1, 0], 2)).ids == ["fox", "index"]
    if shape.get("hybrid_search"):
        words = VectorStoreQuery(query_str="pollen", sparse_top_k=2, mode=VectorStoreQueryMode.SPARSE)
        assert theirs.query(words).ids == store.query(words).ids == ["bee"]
    theirs.add([node("new", "theirs", [0.5, 1], "d3")])
    assert store.query(near([0, 1], 1, doc_ids=["d3"])).ids == ["new"]


def test_metadata_that_sql_changes_is_seen(db: Database, url: str) -> None:
    """The peer rebuilds a node from _node_content alone."""
    table = f"e{uuid.uuid4().hex[:8]}"
    store = ours(db, table, use_jsonb=True)
    store.add(animals())
    relation = sql.Identifier("public", f"data_{table}")
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(
            sql.SQL(
                "UPDATE {} SET metadata_ = metadata_ || '{{\"n\": 5, \"seen\": true}}' WHERE node_id = 'fox'"
            ).format(relation)
        )
        conn.execute(
            sql.SQL("INSERT INTO {} (node_id, text, metadata_, embedding) VALUES ('raw', 'raw', NULL, '[1,1]')").format(
                relation
            )
        )
    assert store.get_nodes(["fox"])[0].metadata == {"n": 5, "seen": True}
    [raw] = store.get_nodes(["raw"])
    assert (raw.node_id, raw.get_content(), raw.metadata) == ("raw", "raw", {})
    assert "raw" in store.query(near([1, 1], 10)).ids


def plan_of(url: str, statement: str) -> str:
    return "\n".join(row[0] for row in rows(url, statement))


def test_the_default_index_of_a_halfvec_table_is_used(db: Database, url: str) -> None:
    """There it is halfvec_l2_ops, and the query asks for the cosine: the index is never used."""
    table = f"h{uuid.uuid4().hex[:8]}"
    ours(db, table, use_halfvec=True, hnsw_kwargs=HNSW).add(animals())
    [definition] = [
        row[0] for row in rows(url, "SELECT indexdef FROM pg_indexes WHERE indexname LIKE %s", f"data_{table}_emb%")
    ]
    assert "halfvec_cosine_ops" in definition


def test_an_index_of_another_distance_is_left_alone(db: Database, url: str, peer: Callable[..., Any]) -> None:
    table = f"x{uuid.uuid4().hex[:8]}"
    theirs = peer(table, use_halfvec=True, hnsw_kwargs=dict(HNSW))  # halfvec_l2_ops
    theirs.add(animals())
    store = ours(db, table, hnsw_kwargs=HNSW)
    assert store.query(near([1, 0.1], 2)).ids == ["fox", "hound"]
    found = rows(
        url, "SELECT indexname FROM pg_indexes WHERE tablename = %s AND indexdef LIKE '%%hnsw%%'", f"data_{table}"
    )
    assert len(found) == 2


def test_settings_of_a_query_are_gone_with_it(db: Database) -> None:
    """There hnsw.ef_search stays on the pooled connection."""
    with Database(db.url, pool_size=1) as single:
        store = ours(single, f"s{uuid.uuid4().hex[:8]}", hnsw_kwargs=HNSW)
        store.add(animals())
        before = single.run(settings)
        store.query(near([1, 0]), hnsw_ef_search=77, ivfflat_probes=5)
        store.query(near([1, 0], 2, mode=VectorStoreQueryMode.MMR), hnsw_ef_search=77, ivfflat_probes=5)
        assert single.run(settings) == before


def settings() -> Any:
    from rag_pgvector.plan import Execute

    rows = yield Execute(
        sql.SQL("SELECT current_setting('hnsw.ef_search', true), current_setting('ivfflat.probes', true)")
    )
    return rows


async def test_the_index_keywords_work_asynchronously(db: Database) -> None:
    """llama_index#17877: there asyncpg refuses SET ... $1."""
    store = ours(db, f"a{uuid.uuid4().hex[:8]}", hnsw_kwargs=HNSW)
    await store.async_add(animals())
    for mode in (VectorStoreQueryMode.DEFAULT, VectorStoreQueryMode.MMR):
        result = await store.aquery(near([1, 0], 2, mode=mode), hnsw_ef_search=10, ivfflat_probes=3)
        assert result.ids[0] == "fox"


def test_an_ivfflat_index_is_probed_as_told(db: Database, url: str) -> None:
    table = f"i{uuid.uuid4().hex[:8]}"
    store = ours(db, table)
    store.add([node(f"n{i}", f"t{i}", [1, i / 100]) for i in range(200)])
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(
            sql.SQL("CREATE INDEX ON {} USING ivfflat (embedding vector_cosine_ops) WITH (lists = 20)").format(
                sql.Identifier("public", f"data_{table}")
            )
        )
    request = read_query(near([1, 0]), None, {"ivfflat_probes": 20, "hnsw_ef_search": 50})
    assert request.options == SearchOptions(probes=20, ef_search=50)
    fresh = ours(db, table, perform_setup=False)
    assert fresh.query(near([1, 0], 5), ivfflat_probes=20).ids == [f"n{i}" for i in range(5)]


def test_a_missing_table_is_an_error_without_set_up(db: Database) -> None:
    """llama_index#9710, #8656: there set-up runs, and its errors are swallowed."""
    with pytest.raises(CollectionNotFoundError, match="perform_setup"):
        ours(db, "nowhere", perform_setup=False).query(near([1, 0]))


def test_another_kind_of_table_is_refused(db: Database, url: str) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("CREATE TABLE data_plain (id int, text text)")
    with pytest.raises(CollectionMismatchError, match="data_plain"):
        ours(db, "plain").add(animals())


def test_engines_lend_their_urls(url: str) -> None:
    address = make_url(url)
    engine = create_engine(address.set(drivername="postgresql+psycopg2"))
    async_engine = create_async_engine(address.set(drivername="postgresql+asyncpg"))
    store = PGVectorStore(engine=engine, async_engine=async_engine, table_name="engines", embed_dim=2)
    store.add(animals())
    assert asyncio.run(store.aquery(near([1, 0], 1))).ids == ["fox"]
    assert engine.pool.checkedin() == 0  # type: ignore[attr-defined]  # never used
    asyncio.run(store.close())
    for only in ({"engine": engine}, {"async_engine": async_engine}):
        with pytest.raises(ConfigError, match="Both engine and async_engine"):
            PGVectorStore(**only)
    creator = create_engine("postgresql+psycopg2://", creator=lambda: None)
    with pytest.raises(ConfigError, match="creator"):
        PGVectorStore(engine=creator, async_engine=creator)


def test_connection_parameters_and_pools(url: str) -> None:
    address = make_url(url)
    parts = {"host": address.host or address.query.get("host"), "port": address.port, "user": address.username}
    store = PGVectorStore.from_params(
        **parts,  # type: ignore[arg-type]
        password=address.password,
        database=address.database,
        table_name="Params",
        embed_dim=2,
        create_engine_kwargs={
            "pool_size": 1,
            "max_overflow": 1,
            "pool_timeout": 5,
            "connect_args": {"application_name": "x"},
        },
    )
    store.add(animals())
    assert store.table_name == "params"
    with store.client.connect() as conn:  # a SQLAlchemy engine, as there
        assert conn.exec_driver_sql("SELECT count(*) FROM data_params").scalar() == 3
    asyncio.run(store.close())


def customize(statement: Any, table: Any, **options: Any) -> Any:
    import sqlalchemy as sa

    extra = sa.table("owners", sa.column("node"), sa.column("owner"), sa.column("since"))
    statement = statement.add_columns(extra.c.owner, extra.c.since).join(extra, extra.c.node == table.node_id)
    if "owner" in options:
        statement = statement.where(extra.c.owner == options["owner"])
    return statement


@pytest.mark.parametrize("hybrid", [False, True])
def test_customize_query_fn(db: Database, url: str, hybrid: bool) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("CREATE TABLE IF NOT EXISTS owners (node text, owner text, since date)")
        conn.execute("TRUNCATE owners")
        conn.execute("INSERT INTO owners VALUES ('fox', 'O''Brien', '2024-01-01'), ('bee', '100%', NULL)")
    store = ours(db, f"c{uuid.uuid4().hex[:8]}", hybrid_search=hybrid, customize_query_fn=customize)
    store.add(animals())
    dense = store.query(near([1, 0]))
    assert dense.ids == ["fox", "bee"]
    assert dense.nodes[0].metadata["custom_fields"]["owner"] == "O'Brien"
    assert dense.similarities == pytest.approx([1, 0], abs=1e-6)
    assert store.query(near([1, 0]), owner="100%").ids == ["bee"]
    assert store.query(near([1, 0], filters=where("n", 1))).ids == ["fox"]
    assert store.query(near([1, 0], filters=where("n", 1)), owner="100%").ids == []
    for mode in (VectorStoreQueryMode.SPARSE, VectorStoreQueryMode.HYBRID, VectorStoreQueryMode.MMR):
        result = store.query(near([1, 0], query_str="a fox", mode=mode))
        assert result.ids[0] == "fox"
        assert "hound" not in result.ids
        assert result.nodes[0].metadata["custom_fields"]["owner"] == "O'Brien"
    nothing_asked = VectorStoreQuery(query_str="", filters=where("n", [1, 2], FilterOperator.IN), similarity_top_k=5)
    assert store.query(nothing_asked).ids == ["fox"]  # the join lets no hound through
    assert store.query(nothing_asked, owner="100%").ids == []
    with pytest.raises(ConfigError, match="customize_query_fn"):
        ours(db, "bad", customize_query_fn=lambda *_, **__: None).query(near([1, 0]))


def test_relations_survive_the_peer(db: Database, peer: Callable[..., Any]) -> None:
    table = f"r{uuid.uuid4().hex[:8]}"
    given = TextNode(
        id_="a",
        text="t",
        embedding=[1, 0],
        metadata={"z": 1, "document_id": "mine", "b": {"y": 1, "x": 2}},
        relationships={
            NodeRelationship.SOURCE: RelatedNodeInfo(node_id="d", metadata={"m": 1}),
            NodeRelationship.PREVIOUS: RelatedNodeInfo(node_id="p"),
        },
        start_char_idx=3,
        end_char_idx=4,
    )
    peer(table).add([given])
    [found] = ours(db, table).get_nodes(["a"])
    assert found.to_dict() == {**given.to_dict(), "embedding": [1.0, 0.0]}
    assert found.hash == given.hash
