"""Every defence alone: each lock is tried with the others open, so that none can go unnoticed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import pandas as pd
import psycopg
import pytest

from rag_pgvector import Chunk, Collection, CollectionConfig, Database, Document, SearchOptions, ingest, runs
from rag_pgvector.errors import IsolationError, PermissionDeniedError, TenantError
from rag_pgvector.evals import history
from rag_pgvector.fence import CONTROL
from tests.isolation.world import DIMENSIONS, NAME, Who, World, embed

ACME, BOLT, PART = ("acme", ""), ("bolt", ""), ("acme", "part")
VECTOR = embed(["the question"])[0]


@pytest.fixture
def filled(world: World) -> World:
    """Three rows of acme, one of them in a scope, and two of bolt, with the same ids; and a document of each."""
    for who, ids in ((ACME, ["1", "2"]), (PART, ["1"]), (BOLT, ["1", "2"])):
        collection = world.bound(who)
        collection.add(world.canaries.chunk(who, id_) for id_ in ids)
        document = world.canaries.document(who, "table")
        collection.put_document(document, [world.canaries.chunk(who, "d")])
        canary = world.canaries.chunk(who, "run").content
        options = {"chunking": {}, "table": {}, "note": canary}
        run = collection._run(partial(runs.begin, collection._table, mode="append", model=canary, options=options))
        failed = runs.FailureRecord(file=canary, path=canary, source=canary, where="", reason=canary, options=options)
        end = partial(runs.end, collection._table, run, error=canary, source_hash=b"", loaders={}, counts={})
        collection._run(partial(end, files=[canary], failures=[failed]), atomic=True)
        measured = {"kind": canary, "dataset": canary, "golden_sha256": canary, "metrics": {}}
        history.save(world.db, measured, collection=collection, label=canary)
        collection.set_calibration({"canary": canary})
    return world


def unfenced(world: World) -> None:
    """Open the database's lock, so that only the statements' own conditions are left."""
    world.admin("ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
    for table in CONTROL:
        world.admin("ALTER TABLE {control} DISABLE ROW LEVEL SECURITY", control=table)


# -------------------------------------------------------------------------------------------------------- the policies


@pytest.mark.parametrize("who", [ACME, BOLT, PART])
def test_the_policy_alone_keeps_chunks_apart(filled: World, who: Who) -> None:
    seen = filled.app("SELECT * FROM {table}", who=who)

    assert len(seen) == {ACME: 5, BOLT: 3, PART: 2}[who]
    assert filled.canaries.foreign(who, seen) == []
    assert filled.app("SELECT * FROM {table}") == []
    assert filled.app("UPDATE {table} SET content = 'x' WHERE tenant_id <> %s RETURNING 1", [who[0]], who=who) == []
    assert filled.app("DELETE FROM {table} WHERE tenant_id <> %s RETURNING 1", [who[0]], who=who) == []


def test_the_policy_alone_keeps_scopes_apart(filled: World) -> None:
    assert {row[0] for row in filled.app("SELECT scope FROM {table}", who=PART)} == {"part"}
    assert {row[0] for row in filled.app("SELECT scope FROM rag.documents", who=PART)} == {"part"}
    assert filled.app("DELETE FROM {table} WHERE scope = '' RETURNING 1", who=PART) == []


def test_the_policy_alone_keeps_documents_and_runs_apart(filled: World) -> None:
    for table in CONTROL:
        for who, rows in {ACME: 2, BOLT: 1, PART: 1}.items():
            seen = filled.app("SELECT * FROM {control}", who=who, control=table)
            assert len(seen) == rows, table
            assert filled.canaries.foreign(who, seen) == [], table
            statement = "DELETE FROM {control} WHERE tenant_id <> %s RETURNING 1"
            assert filled.app(statement, [who[0]], who=who, control=table) == [], table
        assert filled.app("SELECT * FROM {control}", control=table) == [], table


def test_the_statements_alone_keep_runs_apart(filled: World) -> None:
    unfenced(filled)
    for who, rows in {ACME: 4, BOLT: 3, PART: 3}.items():  # evaluations of all scopes
        bound = filled.bound(who)
        told = [*ingest.runs(bound), *ingest.failures(bound), *history.history(filled.db, collection=bound)]
        assert len(told) == rows
        assert filled.canaries.foreign(who, [str(told)]) == []


@pytest.mark.parametrize("who", [ACME, BOLT, PART])
def test_the_statements_alone_keep_calibrations_apart(filled: World, who: Who) -> None:
    unfenced(filled)
    collection = filled.bound(who)

    stored = collection.calibration()
    assert stored is not None
    assert stored.content["canary"]
    assert filled.canaries.foreign(who, [str(stored)]) == []
    collection.set_calibration(None)
    assert collection.calibration() is None
    assert len(filled.admin("SELECT * FROM rag.calibrations")) == 2


def test_a_calibration_is_refused_without_a_tenant(filled: World) -> None:
    with pytest.raises(TenantError, match="for_tenant"):
        filled.collection.calibration()
    with pytest.raises(TenantError, match="for_tenant"):
        filled.collection.set_calibration({})


def test_runs_and_failures_are_refused_without_a_tenant(filled: World) -> None:
    for call in (ingest.runs, ingest.failures, ingest.retry_failed):
        with pytest.raises(TenantError, match="for_tenant"):
            call(filled.collection)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO {table} (tenant_id, id, content, content_hash) VALUES ('bolt', 'new', 'x', '')",
        "INSERT INTO {table} (tenant_id, id, content, content_hash) VALUES ('', 'new', 'x', '')",
        "UPDATE {table} SET tenant_id = 'bolt' WHERE id = '2'",
        "INSERT INTO rag.documents (collection_id, tenant_id, id, source, text, loader, content_hash, chunks) "
        "SELECT id, 'bolt', 'new', '', '', '', '', 0 FROM rag.collections",
        "UPDATE rag.documents SET tenant_id = 'bolt'",
        "UPDATE rag.ingest_runs SET tenant_id = 'bolt'",
        "INSERT INTO rag.eval_runs (tenant_id, kind, dataset, golden_sha256, run) VALUES ('bolt', '', '', '', '{{}}')",
        "UPDATE rag.ingest_failures SET tenant_id = 'bolt'",
        "UPDATE rag.calibrations SET tenant_id = 'bolt'",
        "INSERT INTO rag.calibrations (collection_id, tenant_id, mode, content) "
        "SELECT id, 'bolt', '', '{{}}' FROM rag.collections",
        "INSERT INTO rag.ingest_runs (collection_id, tenant_id, mode, options) "
        "SELECT id, 'bolt', '', '{{}}' FROM rag.collections",
    ],
)
def test_nothing_is_written_under_another_name(filled: World, statement: str) -> None:
    with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.CheckViolation)) as refused:
        filled.app(statement, who=ACME)
    assert filled.canaries.foreign(ACME, refused.value) == []


def test_a_scope_writes_to_no_other(filled: World) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        filled.app("UPDATE {table} SET scope = '' WHERE id = '1'", who=PART)


def test_the_owner_of_the_table_is_fenced_too(filled: World) -> None:
    assert filled.admin("SELECT * FROM {table}", role="rag_owner") == []


def test_a_permissive_policy_added_later_widens_nothing(filled: World) -> None:
    filled.admin("CREATE POLICY wide ON {table} USING (true)")

    assert len(filled.app("SELECT * FROM {table}", who=BOLT)) == 3


def test_the_application_has_no_right_that_policies_do_not_hold(filled: World) -> None:
    rights = filled.admin(
        "SELECT DISTINCT privilege_type, table_name FROM information_schema.role_table_grants "
        "WHERE grantee IN ('rag_app', 'rag_worker', 'PUBLIC') AND table_schema = 'rag' "
        "AND privilege_type NOT IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE')"
    )
    assert rights == []
    for table in ("rag.api_keys", "{table}"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            filled.app(f"TRUNCATE {table}", who=ACME)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        filled.app("SELECT * FROM rag.api_keys", who=ACME)


def test_every_table_with_a_tenant_is_fenced_or_closed(filled: World) -> None:
    """The catalogue's word for it: a table that comes later cannot be forgotten."""
    open_tables = filled.admin(
        "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' "
        "WHERE c.relkind IN ('r', 'p', 'v', 'm') AND c.relnamespace = 'rag'::regnamespace "
        "AND has_table_privilege('rag_app', c.oid, 'SELECT') AND NOT (c.relrowsecurity AND c.relforcerowsecurity "
        "AND 2 <= (SELECT count(*) FROM pg_policy p WHERE p.polrelid = c.oid AND NOT p.polpermissive))"
    )
    assert open_tables == []


# ----------------------------------------------------------------------------------------------------------- the WHERE


def test_the_where_alone_keeps_chunks_apart(filled: World) -> None:
    unfenced(filled)
    for who, rows in ((ACME, 5), (BOLT, 3), (PART, 2)):
        collection = filled.bound(who)
        shown: list[Sequence[object]] = [
            collection.get(["1", "2", "d"]),
            collection.list(),
            collection.list(document_id="table"),
            list(collection.search(vector=VECTOR, k=50)),
            list(collection.search(vector=VECTOR, k=50, filter={"n": 0})),
            list(collection.search(vector=VECTOR, k=50, options=SearchOptions(exact=True))),
        ]
        assert filled.canaries.foreign(who, shown) == []
        assert [len(each) for each in shown] == [rows, rows, {ACME: 2, BOLT: 1, PART: 1}[who], rows, rows, rows]
        assert collection.count() == collection.count({"n": 0}) == rows
        assert set(collection.embedded_hashes("table")) == {"d"}
    assert filled.bound(BOLT).delete(["1", "2"]) == 2
    assert filled.bound(PART).delete(filter={"n": 0}) == 2
    assert filled.bound(ACME).count() == 3


def test_the_where_alone_keeps_documents_apart(filled: World) -> None:
    unfenced(filled)
    for who, documents in ((ACME, 2), (BOLT, 1), (PART, 1)):
        collection = filled.bound(who)
        shown = [collection.documents(), collection.tables(), collection.document("table"), collection.texts(["table"])]
        assert filled.canaries.foreign(who, shown) == []
        assert len(collection.documents()) == len(collection.tables()) == documents
    assert filled.bound(BOLT).put_document(filled.canaries.document(BOLT, "table"), []).deleted == 1
    assert filled.bound(BOLT).delete_document("table") == 0
    assert filled.bound(PART).delete_document("table") == 1
    assert filled.bound(ACME).document("table") is not None


# ------------------------------------------------------------------------------------------------ keys, settings, roles


def test_the_same_id_belongs_to_each_tenant_alone(filled: World) -> None:
    before = filled.bound(BOLT).get(["1"])

    counts = filled.bound(ACME).upsert([filled.canaries.chunk(ACME, "1"), filled.canaries.chunk(ACME, "3")])

    assert (counts.added, counts.updated) == (1, 1)
    assert filled.bound(BOLT).get(["1"]) == before
    assert filled.bound(BOLT).upsert([filled.canaries.chunk(BOLT, "3")]).added == 1


def test_nothing_stays_on_a_pooled_connection(narrow: World) -> None:
    collection = narrow.bound(PART)
    calls: list[Callable[[], object]] = [
        lambda: collection.add([narrow.canaries.chunk(PART, "1")]),
        lambda: collection.add(narrow.canaries.chunk(PART, str(i)) for i in range(40)),
        lambda: collection.get(["1"]),
        lambda: collection.search(vector=VECTOR),
        lambda: collection.put_document(narrow.canaries.document(PART, "d"), []),
        lambda: collection.delete(["1"]),
    ]
    for call in calls:
        call()
        assert narrow.db.run(narrow.settings) == ("", "")


def test_a_role_that_escapes_is_refused(world: World) -> None:
    name = world.admin("SELECT current_user")[0][0]
    with Database(world.admin_url) as db:
        with pytest.raises(IsolationError, match=f"role '{name}' is a superuser.*db grant --role"):
            db.collection(NAME, embedder=embed)


@pytest.mark.parametrize("flaw", ["BYPASSRLS", "MEMBER"])
def test_a_role_that_escapes_is_refused_whatever_its_flaw(world: World, app_login: str, flaw: str) -> None:
    grant, revoke, said = {
        "BYPASSRLS": (f"ALTER ROLE {app_login} BYPASSRLS", f"ALTER ROLE {app_login} NOBYPASSRLS", "has BYPASSRLS"),
        "MEMBER": (f"GRANT rag_owner TO {app_login}", f"REVOKE rag_owner FROM {app_login}", "owns the table"),
    }[flaw]
    world.admin(grant)
    try:
        with Database(world.app_url) as db, pytest.raises(IsolationError, match=said):
            db.collection(NAME, embedder=embed)
    finally:
        world.admin(revoke)


@pytest.mark.parametrize(
    "harm",
    [
        "ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY",
        "DROP POLICY scope ON {table}",
        "DROP POLICY tenant ON rag.documents",
        "ALTER TABLE rag.documents NO FORCE ROW LEVEL SECURITY",
        "DROP POLICY tenant ON {postings}",
        "ALTER TABLE {pending} NO FORCE ROW LEVEL SECURITY",
    ],
)
def test_a_role_that_escapes_is_refused_as_is_a_table_without_its_fence(world: World, harm: str) -> None:
    world.admin(harm)
    with Database(world.app_url) as db, pytest.raises(IsolationError, match="has lost its row-level security"):
        db.collection(NAME, embedder=embed)


# ------------------------------------------------------------------------------------------------------------ no tenant


#: What every method is called with; a method that is missing here fails the test below.
CALLS: dict[str, tuple[object, ...]] = {
    "add": ([Chunk(content="x", embedding=VECTOR)],),
    "upsert": ([Chunk(content="x", embedding=VECTOR)],),
    "get": (["1"],),
    "delete": (["1"],),
    "count": (),
    "list": (),
    "search": ("the question",),
    "search_many": (["the question"],),
    "search_mmr": ("the question",),
    "explain_search": ("the question",),
    "ask": ("the question?",),
    "put_document": (Document(id="d", source="d", text="x", loader="text"), []),
    "documents": (),
    "tables": (),
    "totals": ("n",),
    "totals_by": ("n", "m"),
    "calibration": (),
    "set_calibration": ({},),
    "corpus_fingerprint": (),
    "document": ("d",),
    "texts": (["d"],),
    "embedded_hashes": ("d",),
    "document_embeddings": ("d", ["1"]),
    "delete_document": ("d",),
    "to_pandas": (),
    "add_pandas": (pd.DataFrame({"text": ["x"]}), "text"),
    "embeddings": (),
    "clusters": (1,),
    "plot_map": (),
}
#: What shows no row.
NO_ROWS = {
    "build_index": "an index of all rows; says nothing of them but that they suffice",
    "rebuild_index": "as build_index",
    "drop_index": "refused where a tenant is bound; else the administrator's",
    "index_status": "the state and size of the index of all rows",
    "index_keywords": "of all tenants, with the administrator's rights; returns how many rows it took in",
    "set_alpha": "refused where a tenant is bound; else the administrator's",
    "drop": "refused where a tenant is bound; else the administrator's, see test_attacks",
    "for_tenant": "names the tenant",
    "embedding_hash": "computed from its argument",
    "embed_documents": "computed from its argument",
    "embed_query": "computed from its argument",
    "embed_queries": "computed from its argument",
}


def test_without_a_tenant_everything_is_refused(filled: World) -> None:
    methods = {name for name in dir(Collection) if not name.startswith("_") and callable(getattr(Collection, name))}
    twins = {"a" + name for name in methods} & methods
    assert methods - twins == CALLS.keys() | NO_ROWS.keys(), "say here how a new method is refused without a tenant"
    for name, arguments in CALLS.items():
        with pytest.raises(TenantError, match="for_tenant"):
            getattr(filled.collection, name)(*arguments)


async def test_without_a_tenant_everything_is_refused_in_the_other_colour(filled: World) -> None:
    for name, arguments in CALLS.items():
        with pytest.raises(TenantError, match="for_tenant"):
            await getattr(filled.collection, "a" + name)(*arguments)
    await filled.db.aclose()


def test_a_collection_is_made_by_administrators_only(world: World) -> None:
    with Database(world.app_url) as db, pytest.raises(PermissionDeniedError):
        db.collection("another", config=CollectionConfig(dimensions=DIMENSIONS, tenancy="multi"))
