"""import llamaindex: the peer's tables become collections, nodes, embeddings and all."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from llama_index.core.schema import BaseNode
from llama_index.vector_stores.postgres import PGVectorStore as PeerStore
from psycopg import sql
from sqlalchemy import make_url
from typer.testing import CliRunner

from rag_pgvector import CollectionConfig, Database
from rag_pgvector.cli.app import app
from rag_pgvector.errors import CollectionMismatchError, CollectionNotFoundError
from rag_pgvector.ingest.importers import import_llamaindex, llamaindex_rows
from rag_pgvector.llamaindex import PGVectorStore
from tests.llamaindex.test_nodes import rich
from tests.llamaindex.test_store import animals, ids, node, where


def peer_store(url: str, table: str, nodes: list[BaseNode], **options: Any) -> None:
    """What the peer makes of these nodes."""
    address = make_url(url)
    store = PeerStore.from_params(
        connection_string=address.set(drivername="postgresql+psycopg2").render_as_string(hide_password=False),
        async_connection_string=address.set(drivername="postgresql+asyncpg").render_as_string(hide_password=False),
        table_name=table,
        embed_dim=2,
        **options,
    )
    store.add(nodes)
    store._engine.dispose()


def nodes() -> list[BaseNode]:
    # the peer itself drops the type of a Node's text
    found = [*animals(), *(each for each in rich() if each.node_id != "node")]
    for each in found:
        each.embedding = each.embedding or [1.0, 0.5]
    return found


@pytest.fixture(params=["server", "stream"])
def origin(request: pytest.FixtureRequest, db: Database, empty_database: str) -> Iterator[Database]:
    """Where the rows are: in the same database, or in another one."""
    if request.param == "server":
        yield db
        return
    with Database(empty_database) as other:
        yield other


@pytest.mark.parametrize("shape", [{}, {"use_jsonb": True, "use_halfvec": True, "hybrid_search": True}], ids=str)
def test_nodes_arrive_as_they_were(db: Database, origin: Database, shape: dict[str, Any]) -> None:
    table = f"t{uuid.uuid4().hex[:8]}"
    peer_store(origin.url, table, [*nodes(), node("fox", "older", [0, 1])], **shape)
    peer_store(origin.url, table, animals()[:1], **shape)  # again: a third row of the same node
    docs = db.collection(table, config=CollectionConfig(dimensions=2))
    report = import_llamaindex(origin, table.upper(), docs)
    assert report.via == ("server" if origin is db else "stream")
    assert (report.rows, report.added, report.duplicate_ids) == (11, 9, 2)
    store = PGVectorStore(collection=docs)
    found = {each.node_id: each for each in store.get_nodes([each.node_id for each in nodes()])}
    for each in nodes():
        assert type(found[each.node_id]) is type(each)
        assert found[each.node_id].to_dict() == each.to_dict()
        assert found[each.node_id].hash == each.hash
    [text, fox] = docs.get(["text", "fox"])
    assert (text.char_start, text.char_end, text.document_id) == (7, 12, "doc")
    assert (fox.document_id, fox.metadata) == ("d1", {"n": 1})
    assert docs.get(["bee"])[0].document_id == "d2"
    assert docs.get(["empty"])[0].document_id is None  # "None" there
    again = import_llamaindex(origin, f"data_{table}", docs)
    assert (again.added, again.updated, again.unchanged) == (0, 0, 9)
    stored = store.get_nodes(["text"])
    store.add(stored)
    assert docs.get(["text"]) == [text]
    assert ids(store.get_nodes(filters=where("ref_doc_id", "d1"))) == ["fox", "hound"]


def test_odd_rows(db: Database, origin: Database) -> None:
    table = f"o{uuid.uuid4().hex[:8]}"
    peer_store(origin.url, table, [node("fine", "fine", [1, 0], "d", n=1)])
    relation = sql.Identifier(f"data_{table}")
    with psycopg.connect(origin.url, autocommit=True) as conn:
        insert = sql.SQL("INSERT INTO {} (node_id, text, metadata_, embedding) VALUES (%s, %s, %s, %s)").format(
            relation
        )
        for id_, text, metadata, embedding in (
            ("bare", "no node", {"a": 1, "file_name": "f.md", "page_label": "12"}, "[1,1]"),
            ("broken", "broken node", {"_node_content": "{no json", "_node_type": "TextNode", "b": 2}, "[1,1]"),
            ("list", "no object", {"_node_content": "[1]", "c": 3}, "[1,1]"),
            ("null", "no metadata", None, "[1,1]"),
            ("vectorless", "to be embedded", {}, None),
            ("zeros", "no direction", {}, "[0,0]"),
            (None, "no id", {}, "[1,1]"),
        ):
            conn.execute(insert, (id_, text, None if metadata is None else json.dumps(metadata), embedding))
        conn.execute(insert, ("nul", "nul", '{"k": "ab", "_node_content": "{\\"text\\": \\"\\\\u0000\\"}"}', "[1,1]"))
    docs = db.collection(table, config=CollectionConfig(dimensions=2))
    report = import_llamaindex(origin, table, docs)
    assert (report.rows, report.added) == (9, 8)
    assert (report.without_embedding, report.zero_vectors, report.unusable_ids) == (1, 1, 1)
    chunks = {str(chunk.id): chunk for chunk in docs.list()}
    assert (chunks["bare"].metadata["a"], chunks["bare"].source, chunks["bare"].page_or_row) == (1, "f.md", 12)
    assert chunks["broken"].metadata == {"b": 2}
    assert chunks["list"].metadata == {"c": 3}
    assert chunks["null"].metadata == {}
    assert chunks["nul"].metadata == {"k": "ab"}
    store = PGVectorStore(collection=docs)
    assert store.get_nodes(["broken"])[0].get_content() == "broken node"
    assert store.get_nodes(["vectorless"])[0].embedding is None


def test_what_is_no_table_of_the_peer(db: Database) -> None:
    with pytest.raises(CollectionNotFoundError, match="data_nowhere"):
        db.run(lambda: llamaindex_rows("Nowhere"))
    with pytest.raises(CollectionMismatchError, match="llama-index"):
        db.run(lambda: llamaindex_rows("collections", schema="rag"))


def test_the_verb(db: Database, empty_database: str) -> None:
    peer_store(empty_database, "Verbs", nodes(), schema_name="other")
    verb = f"import llamaindex --table Verbs --schema other --into verbs --from {empty_database} --url {db.url} --json"
    done = CliRunner().invoke(app, verb.split())
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert (report["collection"], report["via"], report["added"]) == ("verbs", "stream", 9)
    assert len(PGVectorStore(collection="verbs", connection=db).get_nodes(["fox", "index"])) == 2
