"""Tenants as a whole: listed, exported and imported, deleted with proof, renamed."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg import sql

from rag_pgvector import Chunk, Collection, CollectionConfig, Database, Document, keys
from rag_pgvector.errors import (
    CollectionMismatchError,
    CollectionNotFoundError,
    DatabaseError,
    EmbedderMismatchError,
    LoadError,
    PermissionDeniedError,
    TenantError,
)
from rag_pgvector.tenants import TenantSize, delete_tenant, list_tenants, move_tenant
from rag_pgvector.transfer import export_tenant, import_tenant
from rag_pgvector.types import WriteCounts

DIMENSIONS = 5


def made(db: Database, name: str = "shared", **options: Any) -> Collection:
    return db.collection(name, config=CollectionConfig(dimensions=DIMENSIONS, tenancy="multi", **options))


def fill(collection: Collection, tenant: str, *, scope: str | None = None, chunks: int = 3) -> None:
    """A document with so many chunks, and one chunk of no document."""
    bound = collection.for_tenant(tenant, scope=scope)
    random = np.random.default_rng(int(hashlib.sha256(f"{tenant}{scope}".encode()).hexdigest()[:8], 16))
    text = f"{tenant} {scope} says: 'né, \\n 中'"
    pieces = [
        Chunk(
            id=f"d:{i}",
            content=f"{text} {i}",
            metadata={"i": i, "x": 0.1},
            char_start=i,
            char_end=i + 1,
            page_or_row=i,
            node={"class_name": "TextNode", "n": [i, "中"]} if i else None,
            embedding=random.standard_normal(DIMENSIONS).astype(np.float32).tolist(),
        )
        for i in range(chunks)
    ]
    document = Document(
        id="d",
        source="d.csv",
        text=text * 2,
        loader="csv",
        metadata={"m": [1]},
        profile={"rows": 1},
        content_hash=b"\1",
    )
    bound.put_document(document, pieces)
    bound.put_document(Document(id="e", source="e.md", text="", loader="text"), [])
    bound.add([Chunk(id="alone", content="alone", embedding=[-0.0, 1e-38, 3.0000001, -1, 65000])])


def rows(url: str, collection: Collection, tenant: str) -> list[Any]:
    """Everything stored of a tenant, as Postgres prints it, but for its name and what a new row draws anew."""
    volatile = "ARRAY['tenant_id', 'collection_id', 'seq', 'created_at', 'updated_at']"
    found = []
    with psycopg.connect(url) as conn:
        for relation in (sql.Identifier("rag", collection._table.name), sql.Identifier("rag", "documents")):
            query = sql.SQL("SELECT to_jsonb(t) - {} FROM {} t WHERE tenant_id = %s ORDER BY scope, id").format(
                sql.SQL(volatile), relation
            )
            found.append([row[0] for row in conn.execute(query, (tenant,))])
        vectors = sql.SQL("SELECT vector_send(embedding::vector) FROM {} WHERE tenant_id = %s ORDER BY scope, id")
        query = vectors.format(sql.Identifier("rag", collection._table.name))
        found.append([bytes(row[0]) for row in conn.execute(query, (tenant,)) if row[0] is not None])
    return found


def test_the_list_has_every_tenant(tenant_db: Database) -> None:
    one, two = made(tenant_db), made(tenant_db, "other")
    tenant_db.collection("plain", config=CollectionConfig(dimensions=DIMENSIONS)).put_document(
        Document(id="d", source="d", text="", loader="text"), []
    )
    assert list_tenants(tenant_db) == []
    fill(one, "acme")
    fill(one, "acme", scope="audit")
    fill(two, "acme")
    fill(two, "bolt", chunks=0)
    keys.create_key(tenant_db, "k", "keyed", permissions=["data.ingest"])
    acme, bolt, keyed = list_tenants(tenant_db)
    assert (acme.tenant, acme.collections) == (
        "acme",
        {"shared": TenantSize(chunks=8, documents=4), "other": TenantSize(chunks=4, documents=2)},
    )
    assert (bolt.tenant, bolt.collections, bolt.keys) == ("bolt", {"other": TenantSize(chunks=1, documents=2)}, 0)
    assert (keyed.tenant, keyed.collections, keyed.keys) == ("keyed", {}, 1)
    assert [info.tenant for info in list_tenants(tenant_db, "shared")] == ["acme"]
    for name in ("plain", "none"):
        with pytest.raises(CollectionNotFoundError, match=name):
            list_tenants(tenant_db, name)


def test_a_fenced_administrator_is_told_what_is_needed(tenant_db: Database, app_url: str) -> None:
    fill(made(tenant_db), "acme")
    with Database(app_url) as fenced, psycopg.connect(tenant_db.admin_url, autocommit=True) as conn:
        conn.execute(sql.SQL("GRANT SELECT ON rag.api_keys TO rag_app"))
        with pytest.raises(PermissionDeniedError, match="BYPASSRLS"):
            list_tenants(fenced)
        with pytest.raises(PermissionDeniedError, match="BYPASSRLS"):
            move_tenant(fenced, "acme", "bolt")


@pytest.mark.parametrize("storage", ["vector", "halfvec"])
def test_an_import_is_bit_for_bit_what_was_exported(
    tenant_db: Database, database_url: str, storage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag_pgvector.transfer._CHUNK_PAGE", 2)  # several pages
    monkeypatch.setattr("rag_pgvector.transfer._DOCUMENT_PAGE", 1)
    origin, target = made(tenant_db, storage=storage), made(tenant_db, "target", storage=storage)
    fill(origin, "acme")
    fill(origin, "acme", scope="audit", chunks=4)
    fill(origin, "bolt")
    with psycopg.connect(database_url) as conn:  # a chunk that waits for its embedding
        conn.execute("UPDATE rag.chunks_shared SET embedding = NULL, embedding_hash = NULL WHERE id = 'd:1'")
    lines = list(export_tenant(origin.for_tenant("acme")))
    assert len(lines) == 1 + 4 + 9 + 1
    assert "bolt" not in "".join(lines)
    expected = rows(database_url, origin, "acme")
    assert len(expected[2]) == 7

    counts = import_tenant(target.for_tenant("other"), lines)
    assert counts == WriteCounts(added=9)
    assert rows(database_url, target, "other") == expected
    assert import_tenant(target.for_tenant("other"), lines) == WriteCounts(unchanged=9)
    assert list(export_tenant(target.for_tenant("other")))[1:] == lines[1:]
    assert [info.tenant for info in list_tenants(tenant_db, "target")] == ["other"]

    narrow = list(export_tenant(origin.for_tenant("acme", scope="audit")))
    assert len(narrow) == 1 + 2 + 5 + 1
    assert import_tenant(target.for_tenant("third", scope="audit"), narrow) == WriteCounts(added=5)
    with pytest.raises(TenantError, match=r"line 2: belongs to scope ''"):
        import_tenant(target.for_tenant("third", scope="audit"), lines)


def test_what_is_no_export_is_refused(tenant_db: Database) -> None:
    collection = made(tenant_db)
    fill(collection, "acme")
    bound = collection.for_tenant("bolt")
    header, *documents, last, end = list(export_tenant(collection.for_tenant("acme")))
    smuggled = json.dumps(json.loads(last) | {"tenant_id": "acme"})
    for lines, said in (
        ([], "line 1: not JSON"),
        (documents, "line 1: not the beginning"),
        ([header, "{"], "line 2: not JSON"),
        ([header, *documents, end], "cut off"),
        ([header, *documents, last], "cut off"),
        ([header, smuggled], "line 2: neither"),
        ([header, json.dumps(json.loads(last) | {"scope": 1})], "line 2: neither"),
        ([header, json.dumps(json.loads(last) | {"embedding_hash": "x"})], "wrong value"),
    ):
        with pytest.raises(LoadError, match=said):
            import_tenant(bound, lines)
    with pytest.raises(CollectionMismatchError, match="distance='cosine'"):
        import_tenant(made(tenant_db, "far", distance="l2").for_tenant("bolt"), [header, end])
    with pytest.raises(TenantError, match="shared"):
        list(export_tenant(collection))
    import_tenant(bound, [header, *documents, last, end])
    assert bound.count() == 4


def test_an_import_keeps_the_embedder_of_the_collection(tenant_db: Database) -> None:
    def embed(texts: Any) -> list[list[float]]:
        return [[1.0, 2.0, 3.0, 4.0, 5.0] for _ in texts]

    class Other:
        name, dimensions = "other", DIMENSIONS

        def embed_documents(self, texts: Any) -> Any:
            return np.ones((len(texts), DIMENSIONS), np.float32)

        def embed_query(self, text: str) -> Any:
            return np.ones(DIMENSIONS, np.float32)

    config = CollectionConfig(dimensions=DIMENSIONS, tenancy="multi")
    origin = tenant_db.collection("origin", config=config, embedder=embed).for_tenant("acme")
    origin.add([Chunk(id="a", content="a")])
    lines = list(export_tenant(origin))
    fresh = tenant_db.collection("fresh", config=config, embedder=embed).for_tenant("acme")
    import_tenant(fresh, lines)
    assert fresh.upsert([Chunk(id="a", content="a")]) == WriteCounts(unchanged=1)  # its embedding is known as current
    taken = tenant_db.collection("taken", config=config, embedder=Other()).for_tenant("acme")
    taken.embed_query("x")
    with pytest.raises(EmbedderMismatchError, match="taken"):
        import_tenant(taken, lines)


def test_delete_leaves_nothing_in_any_table(tenant_db: Database, database_url: str) -> None:
    one, two = made(tenant_db), made(tenant_db, "other")
    for tenant in ("acme", "bolt"):
        fill(one, tenant)
        fill(one, tenant, scope="audit")
        fill(two, tenant)
        keys.create_key(tenant_db, "k", tenant, permissions=["data.ingest"])
    bolt = rows(database_url, one, "bolt")
    with psycopg.connect(database_url, autocommit=True) as conn:
        # What a later version adds: found by its column, deleted before what it refers to.
        conn.execute(
            "CREATE TABLE rag.embed_queue (tenant_id text, scope text, id text, "
            "FOREIGN KEY (tenant_id, scope, id) REFERENCES rag.chunks_shared)"
        )
        conn.execute("INSERT INTO rag.embed_queue VALUES ('acme', '', 'd:0'), ('bolt', '', 'd:0')")
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            conn.execute("DELETE FROM rag.chunks_shared WHERE tenant_id = 'acme'")

        assert delete_tenant(tenant_db, "acme", collection="other") == {
            "chunks_other": 4, "documents": 2, "eval_runs": 0, "calibrations": 0,
            "ingest_failures": 0, "ingest_runs": 0,
            "pending_other": 4, "postings_other": 0, "segments_other": 0, "tombstones_other": 4,
        }  # fmt: skip
        assert one.for_tenant("acme").count() == 8
        assert delete_tenant(tenant_db, "acme") == {
            "api_keys": 1, "chunks_other": 0, "documents": 4, "embed_queue": 1, "chunks_shared": 8,
            "eval_runs": 0, "calibrations": 0,
            "ingest_failures": 0, "ingest_runs": 0,
            "pending_other": 0, "postings_other": 0, "segments_other": 0, "tombstones_other": 0,
            "pending_shared": 8, "postings_shared": 0, "segments_shared": 0, "tombstones_shared": 8,
        }  # fmt: skip
        tables = conn.execute("SELECT DISTINCT table_name FROM information_schema.columns WHERE table_schema = 'rag'")
        for (table,) in tables.fetchall():
            query = sql.SQL("SELECT count(*) FROM {} t WHERE t::text LIKE '%acme%'")
            assert conn.execute(query.format(sql.Identifier("rag", table))).fetchone() == (0,), table
        assert rows(database_url, one, "bolt") == bolt
        assert delete_tenant(tenant_db, "acme")["chunks_shared"] == 0
        with pytest.raises(CollectionNotFoundError):
            delete_tenant(tenant_db, "bolt", collection="none")


def test_delete_tells_if_somebody_still_writes(tenant_db: Database, database_url: str) -> None:
    collection = made(tenant_db)
    fill(collection, "acme")
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute("CREATE FUNCTION public.back() RETURNS trigger LANGUAGE plpgsql AS "
                     "$$BEGIN INSERT INTO rag.chunks_shared SELECT (OLD).*; RETURN NULL; END$$")  # fmt: skip
        conn.execute("CREATE TRIGGER back AFTER DELETE ON rag.chunks_shared FOR EACH ROW WHEN (OLD.id = 'd:0') "
                     "EXECUTE FUNCTION public.back()")  # fmt: skip
    with pytest.raises(DatabaseError, match=r"1 in rag\.chunks_shared"):
        delete_tenant(tenant_db, "acme")


def test_move_renames_a_tenant_and_never_merges_two(tenant_db: Database, database_url: str) -> None:
    collection = made(tenant_db)
    fill(collection, "acme")
    fill(collection, "acme", scope="audit")
    fill(collection, "bolt")
    key = keys.create_key(tenant_db, "k", "acme", permissions=["data.ingest"])
    before = rows(database_url, collection, "acme")
    assert move_tenant(tenant_db, "acme", "apex") == {
        "chunks_shared": 8, "documents": 4, "api_keys": 1, "eval_runs": 0, "calibrations": 0,
            "ingest_failures": 0, "ingest_runs": 0,
        "pending_shared": 8, "postings_shared": 0, "segments_shared": 0, "tombstones_shared": 0,
    }  # fmt: skip
    assert rows(database_url, collection, "apex") == before
    assert collection.for_tenant("acme").count() == 0
    assert keys.authenticate(tenant_db, key.secret).tenant == "apex"
    with pytest.raises(TenantError, match="'bolt' exists"):
        move_tenant(tenant_db, "apex", "bolt")
    with pytest.raises(TenantError, match="'acme' has nothing"):
        move_tenant(tenant_db, "acme", "new")
    with pytest.raises(TenantError, match="that name already"):
        move_tenant(tenant_db, "apex", "apex")
    assert rows(database_url, collection, "apex") == before


def test_nobody_comes_between_the_look_and_the_move(tenant_db: Database, database_url: str) -> None:
    """A writer of the new name is caught between its document and its chunks: the move waits, then refuses."""
    collection = made(tenant_db)
    fill(collection, "acme")
    before = rows(database_url, collection, "acme")
    with ThreadPoolExecutor() as pool, psycopg.connect(database_url) as conn:
        conn.execute(
            "INSERT INTO rag.documents (collection_id, tenant_id, id, source, text, loader, content_hash, chunks) "
            "VALUES (%s, 'apex', 'd', 's', 't', 'l', '', 1)", (collection._table.collection_id,),
        )  # fmt: skip
        moving = pool.submit(move_tenant, tenant_db, "acme", "apex")
        while not conn.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone() > (0,):  # type: ignore[operator]
            assert not moving.done(), moving.result()
        conn.execute("INSERT INTO rag.chunks_shared (tenant_id, id, content) VALUES ('apex', 'new', 'x')")
        conn.commit()
        with pytest.raises(TenantError, match="'apex' exists"):
            moving.result()
    assert rows(database_url, collection, "acme") == before
