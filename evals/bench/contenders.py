"""What ``bench.store`` compares: one class per way to store and search the same rows, each by its own fast path."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg import sql
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool
from sqlalchemy import make_url

from rag_pgvector import Chunk, CollectionConfig, Database, planner

__all__ = ["CONTENDERS", "EF_CONSTRUCTION", "EF_SEARCH", "HNSW_M", "Contender", "Rows", "make_rows"]

#: Our defaults, for everybody.
HNSW_M = CollectionConfig().hnsw_m
EF_CONSTRUCTION = CollectionConfig().hnsw_ef_construction
EF_SEARCH = planner.EF_SEARCH

_WORDS = 5_000
_CENTRES = 20


@dataclass(frozen=True)
class Rows:
    """Synthetic rows, the same for all, and the queries with their true neighbours.

    Attributes:
        vectors: ``(n, dimensions)`` float32 of length 1, in clusters.
        lists: The same as lists of float, which is what the frameworks take.
        queries: ``(q, dimensions)`` float32, each a row with noise on it.
        nearest: For each query the ids of its ``k`` nearest rows, by exact cosine.
    """

    ids: list[str]
    texts: list[str]
    metadatas: list[dict[str, Any]]
    vectors: NDArray[np.float32]
    lists: list[list[float]]
    queries: NDArray[np.float32]
    nearest: list[set[str]]


def make_rows(n: int, queries: int, *, dimensions: int = 384, k: int = 10, seed: int = 20260101) -> Rows:
    """``n`` rows with texts of about 70 words and three metadata keys, and ``queries`` questions about them."""
    draw = np.random.default_rng(seed)
    centres = draw.standard_normal((_CENTRES, dimensions), dtype=np.float32)
    noise = draw.standard_normal((n, dimensions), dtype=np.float32)
    vectors = _unit(centres[draw.integers(_CENTRES, size=n)] + noise)
    asked = vectors[draw.integers(n, size=queries)]
    asked = _unit(asked + 0.5 * _unit(draw.standard_normal((queries, dimensions), dtype=np.float32)))
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = np.array(["".join(draw.choice(letters, size=size)) for size in draw.integers(2, 10, size=_WORDS)])
    texts = [" ".join(draw.choice(words, size=size)) for size in draw.integers(50, 90, size=n)]
    ids = [f"row:{i:06}" for i in range(n)]
    best = np.argsort(-(asked @ vectors.T), axis=1)[:, :k]
    return Rows(
        ids=ids,
        texts=texts,
        metadatas=[{"year": 2000 + i % 25, "topic": f"topic {i % 50}", "draft": i % 7 == 0} for i in range(n)],
        vectors=vectors,
        lists=vectors.tolist(),
        queries=asked,
        nearest=[{ids[i] for i in row} for row in best],
    )


def _unit(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    return unit


class Contender(Protocol):
    """One store in a database of its own. What a call is given is made beforehand, so that only the store is timed."""

    def fresh(self) -> None:
        """Begin with a new, empty table without a vector index."""

    def add(self, start: int, stop: int) -> None:
        """Store rows ``start`` to ``stop`` with their vectors, in one call."""

    def build_index(self) -> None:
        """Build the HNSW index over what is there; later adds maintain it."""

    def search(self, query: int, k: int) -> Any:
        """The ``k`` rows nearest to a query: id, content, metadata and distance at least."""

    def ids(self, found: Any) -> list[str]:
        """The ids in what ``search`` returned."""

    def close(self) -> None:
        """Let go of every connection."""


class Ours:
    """``Collection.add`` and ``Collection.search``."""

    def __init__(self, url: str, rows: Rows) -> None:
        self._db = Database(url, admin_url=url)
        self._queries = rows.queries
        self._config = CollectionConfig(
            dimensions=rows.vectors.shape[1], hnsw_m=HNSW_M, hnsw_ef_construction=EF_CONSTRUCTION
        )
        self._chunks = [
            Chunk(id=id_, content=text, metadata=metadata, embedding=vector)
            for id_, text, metadata, vector in zip(rows.ids, rows.texts, rows.metadatas, rows.lists, strict=True)
        ]
        self.fresh()

    def fresh(self) -> None:
        if "bench" in self._db.collections():
            self._db.collection("bench").drop()
        self._collection = self._db.collection("bench", config=self._config)

    def add(self, start: int, stop: int) -> None:
        self._collection.add(self._chunks[start:stop])

    def build_index(self) -> None:
        self._collection.build_index()

    def search(self, query: int, k: int) -> Any:
        return self._collection.search(vector=self._queries[query], k=k)

    def ids(self, found: Any) -> list[str]:
        return [hit.chunk.id for hit in found]

    def plan(self) -> str:
        """How the collection's searches run."""
        plan = self._collection.search(vector=self._queries[0], k=10).plan
        return f"{plan.kind}: {plan.reason}"

    def close(self) -> None:
        self._db.close()


class Raw:
    """Plain psycopg: COPY BINARY into a plain table, and a prepared SELECT of the columns that ours reads.

    The pool checks no connection: none is idle for the 30 seconds after which ours would.
    """

    _CREATE = sql.SQL(
        "CREATE TABLE bench (id text PRIMARY KEY, document_id text, source text, page_or_row int, char_start int, "
        "char_end int, content text NOT NULL, metadata jsonb NOT NULL, embedding vector({}))"
    )
    _COPY = "COPY bench (id, content, metadata, embedding) FROM STDIN (FORMAT BINARY)"
    _SELECT = (
        "SELECT id, content, metadata, document_id, source, page_or_row, char_start, char_end, "
        "embedding <=> %b AS distance FROM bench ORDER BY distance LIMIT %s"
    )

    def __init__(self, url: str, rows: Rows) -> None:
        self._rows = rows
        self._metadatas = [Jsonb(metadata) for metadata in rows.metadatas]
        with psycopg.connect(url) as conn:
            conn.execute("CREATE EXTENSION IF NOT EXISTS vector")
        self._pool = ConnectionPool(url, min_size=1, kwargs={"autocommit": True}, configure=_configure, open=True)
        self.fresh()

    def fresh(self) -> None:
        with self._pool.connection() as conn:
            conn.execute("DROP TABLE IF EXISTS bench")
            conn.execute(self._CREATE.format(sql.Literal(self._rows.vectors.shape[1])))

    def add(self, start: int, stop: int) -> None:
        with self._pool.connection() as conn, conn.cursor() as cursor, cursor.copy(self._COPY) as copy:
            copy.set_types(["text", "text", "jsonb", "vector"])
            for i in range(start, stop):
                copy.write_row((self._rows.ids[i], self._rows.texts[i], self._metadatas[i], self._rows.vectors[i]))

    def build_index(self) -> None:
        query = sql.SQL(
            "CREATE INDEX ON bench USING hnsw (embedding vector_cosine_ops) WITH (m={}, ef_construction={})"
        )
        with self._pool.connection() as conn:
            conn.execute(query.format(sql.Literal(HNSW_M), sql.Literal(EF_CONSTRUCTION)))
            conn.execute("ANALYZE bench (id)")

    def search(self, query: int, k: int) -> Any:
        conn = self._pool.getconn()
        try:
            return conn.execute(self._SELECT, (self._rows.queries[query], k), prepare=True, binary=True).fetchall()
        finally:
            self._pool.putconn(conn)

    def ids(self, found: Any) -> list[str]:
        return [row[0] for row in found]

    def close(self) -> None:
        self._pool.close()


def _configure(conn: psycopg.Connection[Any]) -> None:
    from pgvector.psycopg import register_vector

    register_vector(conn)
    conn.execute("SET hnsw.iterative_scan = strict_order")
    conn.execute(sql.SQL("SET hnsw.ef_search = {}").format(sql.Literal(EF_SEARCH)))


class LangChain:
    """langchain-postgres: ``PGVectorStore`` (v2) over psycopg, by its synchronous methods."""

    def __init__(self, url: str, rows: Rows) -> None:
        from langchain_core.embeddings import DeterministicFakeEmbedding
        from langchain_postgres import Column, PGEngine, PGVectorStore
        from langchain_postgres.v2.indexes import HNSWIndex, HNSWQueryOptions

        with psycopg.connect(url) as conn:
            conn.execute("CREATE EXTENSION IF NOT EXISTS vector")
        self._rows = rows
        self._size = rows.vectors.shape[1]
        self._engine = PGEngine.from_connection_string(_with_driver(url, "psycopg"))
        self._id_column = Column("langchain_id", "TEXT", nullable=False)
        self._index = HNSWIndex(m=HNSW_M, ef_construction=EF_CONSTRUCTION)
        self._open: Callable[[], Any] = lambda: PGVectorStore.create_sync(
            self._engine,
            DeterministicFakeEmbedding(size=self._size),  # required, and never asked: the vectors are given
            "bench",
            index_query_options=HNSWQueryOptions(ef_search=EF_SEARCH),
        )
        self._queries = rows.queries.tolist()
        self.fresh()

    def fresh(self) -> None:
        self._engine.init_vectorstore_table("bench", self._size, id_column=self._id_column, overwrite_existing=True)
        self._store = self._open()

    def add(self, start: int, stop: int) -> None:
        rows = self._rows
        self._store.add_embeddings(
            rows.texts[start:stop],
            rows.lists[start:stop],
            metadatas=rows.metadatas[start:stop],
            ids=rows.ids[start:stop],
        )

    def build_index(self) -> None:
        self._store.apply_vector_index(self._index)

    def search(self, query: int, k: int) -> Any:
        return self._store.similarity_search_by_vector(self._queries[query], k=k)

    def ids(self, found: Any) -> list[str]:
        return [document.id for document in found]

    def close(self) -> None:
        asyncio.run(self._engine.close())


class LlamaIndex:
    """LlamaIndex's ``PGVectorStore`` over its default drivers; ``build_index`` opens it anew with ``hnsw_kwargs``."""

    def __init__(self, url: str, rows: Rows) -> None:
        from llama_index.core.schema import TextNode
        from llama_index.core.vector_stores import VectorStoreQuery
        from llama_index.vector_stores.postgres import PGVectorStore

        self._url = url
        self._size = rows.vectors.shape[1]
        self._make: Any = PGVectorStore.from_params
        self._nodes = [
            TextNode(id_=id_, text=text, metadata=metadata, embedding=vector)
            for id_, text, metadata, vector in zip(rows.ids, rows.texts, rows.metadatas, rows.lists, strict=True)
        ]
        self._query = VectorStoreQuery
        self._queries = rows.queries.tolist()
        self._store: Any = None
        self.fresh()

    def fresh(self) -> None:
        self.close()
        with psycopg.connect(self._url) as conn:
            conn.execute("DROP TABLE IF EXISTS data_bench")
        self._store = self._open(None)

    def _open(self, hnsw: dict[str, Any] | None) -> Any:
        store = self._make(
            connection_string=_with_driver(self._url, "psycopg2"),
            async_connection_string=_with_driver(self._url, "asyncpg"),
            table_name="bench",
            embed_dim=self._size,
            use_jsonb=True,
            hnsw_kwargs=hnsw,
        )
        store.add([])  # the set-up happens at the first use
        return store

    def add(self, start: int, stop: int) -> None:
        self._store.add(self._nodes[start:stop])

    def build_index(self) -> None:
        self.close()
        self._store = self._open(
            {"hnsw_m": HNSW_M, "hnsw_ef_construction": EF_CONSTRUCTION, "hnsw_ef_search": EF_SEARCH}
        )

    def search(self, query: int, k: int) -> Any:
        return self._store.query(
            self._query(query_embedding=self._queries[query], similarity_top_k=k), hnsw_ef_search=EF_SEARCH
        )

    def ids(self, found: Any) -> list[str]:
        return list(found.ids)

    def close(self) -> None:
        if self._store is not None:
            asyncio.run(self._store.close())
            self._store = None


CONTENDERS: dict[str, Callable[[str, Rows], Contender]] = {
    "ours": Ours,
    "raw": Raw,
    "langchain-postgres": LangChain,
    "llama-index": LlamaIndex,
}


def _with_driver(url: str, driver: str) -> str:
    return make_url(url).set(drivername=f"postgresql+{driver}").render_as_string(hide_password=False)
