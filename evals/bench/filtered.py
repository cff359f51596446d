"""What ``bench.search`` compares: the same rows in three tables, each searched through its library under a filter."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import psycopg
from numpy.typing import NDArray
from pgvector.psycopg import register_vector
from psycopg import sql
from psycopg.types.json import Jsonb
from sqlalchemy import make_url

from rag_pgvector import Chunk, CollectionConfig, Database, SearchOptions
from rag_pgvector.evals.bench.realistic import Matrix

__all__ = ["LangChain", "LlamaIndex", "Ours", "Searched", "Store", "id_of"]

_TEXT = "a sentence of some words, as they are. " * 8
_M, _EF_CONSTRUCTION = CollectionConfig().hnsw_m, CollectionConfig().hnsw_ef_construction


def id_of(row: int) -> str:
    return f"row:{row:07}"


@dataclass(frozen=True)
class Searched:
    """Rows with a number of their own, ``rank``, which is a random permutation: ``rank < n`` is the filter."""

    rows: Matrix
    rank: NDArray[np.int64]

    def chunks(self, chosen: NDArray[np.int64]) -> list[Chunk]:
        return [
            Chunk(id=id_of(i), content=f"Row {i}, {_TEXT}", metadata=self.metadata(i), embedding=self.rows[i])
            for i in chosen.tolist()
        ]

    def metadata(self, row: int) -> dict[str, Any]:
        return {"rank": int(self.rank[row]), "year": 2000 + row % 25, "topic": f"topic {row % 50}"}


class Store(Protocol):
    """One library's table: made, filled and indexed (``load``), or one that is there.

    ``search`` returns ids; ``below`` is the filter's bound, None for no filter.
    """

    table: sql.Identifier
    id_column: sql.Identifier

    def search(self, query: Any, k: int, below: int | None, **how: Any) -> list[str]: ...

    def close(self) -> None: ...


class Ours:
    """``Collection.search``; ``exact`` and ``ef_search`` fix the plan."""

    id_column = sql.Identifier("id")

    def __init__(self, url: str, data: Searched, *, load: bool, clients: int) -> None:
        self._db = Database(url, admin_url=url, pool_size=clients)
        self.collection = self._db.collection("bench", config=CollectionConfig(dimensions=data.rows.shape[1]))
        if load:
            for part in np.array_split(np.arange(len(data.rows)), 10):
                self.collection.add(data.chunks(part))
            self.collection.build_index()
        self.table = self.collection._table.identifier

    def search(self, query: Any, k: int, below: int | None, **how: Any) -> list[str]:
        found = self.collection.search(
            vector=query, k=k, filter=None if below is None else {"rank": {"$lt": below}}, options=SearchOptions(**how)
        )
        return [str(hit.chunk.id) for hit in found]

    def plan(self, query: Any, k: int, below: int | None) -> str:
        found = self.collection.search(vector=query, k=k, filter=None if below is None else {"rank": {"$lt": below}})
        return f"{found.plan.kind}: {found.plan.reason}"

    def close(self) -> None:
        self._db.close()


class LangChain:
    """langchain-postgres ``PGVectorStore`` (v2). The rows go into its table by COPY: only searching is measured."""

    table = sql.Identifier("bench")
    id_column = sql.Identifier("langchain_id")

    def __init__(self, url: str, data: Searched, *, load: bool) -> None:
        from langchain_core.embeddings import DeterministicFakeEmbedding
        from langchain_postgres import Column, PGEngine, PGVectorStore
        from langchain_postgres.v2.indexes import HNSWIndex, HNSWQueryOptions

        _extension(url)
        size = data.rows.shape[1]
        self._engine = PGEngine.from_connection_string(_with_driver(url, "psycopg"))
        if load:
            self._engine.init_vectorstore_table("bench", size, id_column=Column("langchain_id", "TEXT", nullable=False))

        def opened(ef_search: int) -> Any:
            return PGVectorStore.create_sync(
                self._engine,
                DeterministicFakeEmbedding(size=size),
                "bench",
                index_query_options=HNSWQueryOptions(ef_search=ef_search),
            )

        if load:
            _copy(
                url,
                "COPY bench (langchain_id, content, embedding, langchain_metadata) FROM STDIN (FORMAT BINARY)",
                ["text", "text", "vector", "json"],
                (
                    (id_of(i), _TEXT, vector, psycopg.types.json.Json(data.metadata(i)))
                    for i, vector in enumerate(data.rows)
                ),
            )
            opened(40).apply_vector_index(HNSWIndex(m=_M, ef_construction=_EF_CONSTRUCTION))
        self._open, self._stores = opened, {40: opened(40)}

    def search(self, query: Any, k: int, below: int | None, **how: Any) -> list[str]:
        ef_search = how.get("ef_search", 40)
        if ef_search not in self._stores:
            self._stores[ef_search] = self._open(ef_search)
        filter = None if below is None else {"rank": {"$lt": below}}
        found = self._stores[ef_search].similarity_search_by_vector(query.tolist(), k=k, filter=filter)
        return [str(document.id) for document in found]

    def close(self) -> None:
        asyncio.run(self._engine.close())


class LlamaIndex:
    """LlamaIndex's ``PGVectorStore``. The rows go into its table by COPY: only searching is measured."""

    table = sql.Identifier("data_bench")
    id_column = sql.Identifier("node_id")

    def __init__(self, url: str, data: Searched, *, load: bool) -> None:
        from llama_index.core.schema import TextNode
        from llama_index.core.vector_stores import (
            FilterOperator,
            MetadataFilter,
            MetadataFilters,
            VectorStoreQuery,
            utils,
        )
        from llama_index.vector_stores.postgres import PGVectorStore

        _extension(url)
        make: Any = PGVectorStore.from_params
        made_of: Any = utils.node_to_metadata_dict

        def opened(hnsw: dict[str, Any] | None) -> Any:
            store = make(
                connection_string=_with_driver(url, "psycopg2"),
                async_connection_string=_with_driver(url, "asyncpg"),
                table_name="bench",
                embed_dim=data.rows.shape[1],
                use_jsonb=True,
                hnsw_kwargs=hnsw,
            )
            store.add([])  # the set-up happens at the first use
            return store

        if load:
            asyncio.run(opened(None).close())

        def metadata(i: int) -> Any:
            node = TextNode(id_=id_of(i), text=_TEXT, metadata=data.metadata(i))
            return Jsonb(made_of(node, remove_text=True, flat_metadata=False))

        if load:
            _copy(
                url,
                "COPY data_bench (text, metadata_, node_id, embedding) FROM STDIN (FORMAT BINARY)",
                ["varchar", "jsonb", "varchar", "vector"],
                ((_TEXT, metadata(i), id_of(i), vector) for i, vector in enumerate(data.rows)),
            )
        self._store: Any = opened({"hnsw_m": _M, "hnsw_ef_construction": _EF_CONSTRUCTION, "hnsw_ef_search": 40})
        self._query: Any = VectorStoreQuery
        self._filters: Any = lambda below: MetadataFilters(
            filters=[MetadataFilter(key="rank", value=below, operator=FilterOperator.LT)]
        )

    def search(self, query: Any, k: int, below: int | None, **how: Any) -> list[str]:
        filters = None if below is None else self._filters(below)
        asked = self._query(query_embedding=query.tolist(), similarity_top_k=k, filters=filters)
        return list(self._store.query(asked, hnsw_ef_search=how.get("ef_search", 40)).ids or [])

    def close(self) -> None:
        asyncio.run(self._store.close())


def _extension(url: str) -> None:
    with psycopg.connect(url) as conn:
        conn.execute("CREATE EXTENSION IF NOT EXISTS vector")


def _copy(url: str, statement: str, types: list[str], rows: Any) -> None:
    with psycopg.connect(url) as conn:
        register_vector(conn)
        with conn.cursor() as cursor, cursor.copy(statement.encode()) as copy:
            copy.set_types(types)
            for row in rows:
                copy.write_row(row)


def _with_driver(url: str, driver: str) -> str:
    return make_url(url).set(drivername=f"postgresql+{driver}").render_as_string(hide_password=False)
