"""A single-tenant collection becomes a multi-tenant one."""

from __future__ import annotations

from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg import sql

from rag_pgvector import Chunk, CollectionConfig, Database, Document, SearchOptions
from rag_pgvector.convert import convert_to_multi
from rag_pgvector.errors import CollectionNotFoundError, IsolationError, PermissionDeniedError, TenantError

CONFIG = CollectionConfig(dimensions=3)
#: All that the catalogue says of a table, but for the order of its columns and its own name.
CATALOGUE = """
SELECT 'column', a.attname::text, format_type(a.atttypid, a.atttypmod), concat(a.attnotnull, a.attstorage),
       pg_get_expr(d.adbin, d.adrelid)
FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = %(table)s::regclass AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL SELECT 'constraint', conname, pg_get_constraintdef(oid), '', ''
FROM pg_constraint WHERE conrelid = %(table)s::regclass
UNION ALL SELECT 'index', i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid), i.indisvalid::text, ''
FROM pg_index i WHERE i.indrelid = %(table)s::regclass
UNION ALL SELECT 'policy', polname, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid),
       concat(polcmd, polpermissive, polroles) FROM pg_policy WHERE polrelid = %(table)s::regclass
UNION ALL SELECT 'table', relowner::regrole::text, concat(relrowsecurity, relforcerowsecurity), relacl::text,
       reloptions::text
FROM pg_class WHERE oid = %(table)s::regclass
UNION ALL SELECT 'trigger', tgname, pg_get_triggerdef(oid), '', '' FROM pg_trigger WHERE tgrelid = %(table)s::regclass
UNION ALL SELECT 'column grant', attname, attacl::text, '', '' FROM pg_attribute
WHERE attrelid = %(table)s::regclass AND attacl IS NOT NULL
"""


def catalogue(url: str, name: str) -> set[tuple[Any, ...]]:
    with psycopg.connect(url) as conn:
        found = conn.execute(CATALOGUE, {"table": f"rag.chunks_{name}"}).fetchall()
    return {tuple(str(value).replace(name, "NAME") for value in row) for row in found}


def test_rows_documents_and_definitions_are_those_of_a_multi_tenant_collection(
    tenant_db: Database, database_url: str
) -> None:
    with Database(database_url) as owner:  # as the superuser, who holds single-tenant collections everywhere
        old = owner.collection("old", config=CONFIG)
        other = owner.collection("bystander", config=CONFIG)
        for collection in (old, other):
            chunks = [Chunk(id=str(i), content=f"text {i}", embedding=[1.0, i, 0.5]) for i in range(20)]
            collection.put_document(Document(id="d", source="d", text="t", loader="text"), chunks)
        old.build_index()
        stored = sql.SQL(
            "SELECT id, content, embedding::text, embedding_hash, seq, created_at, updated_at "
            "FROM rag.chunks_old ORDER BY id"
        )
        with psycopg.connect(database_url) as conn:
            before = conn.execute(stored).fetchall()
        report = convert_to_multi(owner, "old", "acme")
    assert report is not None
    assert (report.state, report.reason) == ("valid", "built")
    with psycopg.connect(database_url) as conn:
        after = conn.execute(stored).fetchall()
    assert after == before

    multi = tenant_db.collection("old")
    assert multi.config.tenancy == "multi"
    with pytest.raises(TenantError):
        multi.count()
    acme = multi.for_tenant("acme")
    assert (acme.count(), len(acme.documents()), acme.tenant) == (20, 1, "acme")
    assert acme.search(vector=np.array([1.0, 3, 0.5]), k=1, options=SearchOptions(exact=True))[0].chunk.id == "3"
    assert multi.for_tenant("bolt").count() == 0
    assert acme.add([Chunk(id="3", content="new", embedding=[1, 1, 1]), Chunk(content="x", embedding=[1, 1, 1])])
    assert acme.count() == 21
    bystander = tenant_db.collection("fresh", config=CollectionConfig(dimensions=3, tenancy="multi"))
    bystander.build_index()
    assert catalogue(database_url, "old") == catalogue(database_url, "fresh")
    with Database(database_url) as owner:
        assert (owner.collection("bystander").count(), len(owner.collection("bystander").documents())) == (20, 1)
        with pytest.raises(IsolationError, match="superuser"):
            owner.collection("old")


def test_what_cannot_be_converted_stays_as_it_was(tenant_db: Database, database_url: str, app_url: str) -> None:
    with Database(database_url) as owner:
        owner.collection("plain", config=CONFIG).add([Chunk(id="a", content="a", embedding=[1, 2, 3])])
        before = catalogue(database_url, "plain")
        for tenant in ("", "a b", "*"):
            with pytest.raises(TenantError):
                convert_to_multi(owner, "plain", tenant)
        with pytest.raises(CollectionNotFoundError, match="none"):
            convert_to_multi(owner, "none", "acme")
        with Database(app_url) as fenced, pytest.raises(PermissionDeniedError, match="BYPASSRLS"):
            convert_to_multi(fenced, "plain", "acme")
        assert catalogue(database_url, "plain") == before
        assert owner.collection("plain").count() == 1
        assert convert_to_multi(owner, "plain", "acme") is None
        with pytest.raises(TenantError, match="already"):
            convert_to_multi(owner, "plain", "acme")
    assert tenant_db.collection("plain").for_tenant("acme").get(["a"])[0].content == "a"
