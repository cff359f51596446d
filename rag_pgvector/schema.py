"""Plans for what holds the data: the extension, the control tables, a collection's table and its vector index."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from psycopg import sql

from rag_pgvector import keyword_schema, roles
from rag_pgvector.analysis import ANALYSER_VERSION
from rag_pgvector.config import CollectionConfig
from rag_pgvector.errors import CollectionNotFoundError, ExtensionError
from rag_pgvector.fence import fence_sql
from rag_pgvector.index_kinds import warn_of
from rag_pgvector.plan import Execute, Plan
from rag_pgvector.planner import EF_SEARCH
from rag_pgvector.table import KEYWORD_KINDS, Table, table_name

__all__ = [
    "SCOPE_COLUMN",
    "SESSION_DEFAULTS",
    "TENANT_CHECK",
    "bind_embedder",
    "create_collection",
    "create_table_sql",
    "current_role",
    "drop_collection",
    "dropped",
    "find_collection",
    "grant_collection",
    "grant_control_tables",
    "is_gone",
    "list_collections",
    "require_extension",
    "revision",
    "set_alpha",
]

logger = logging.getLogger("rag_pgvector")

#: What our own connections start with: results are never cut at hnsw.ef_search, and recall before the last millisecond.
SESSION_DEFAULTS = sql.SQL("SET hnsw.iterative_scan = strict_order; SET hnsw.ef_search = {}").format(
    sql.Literal(EF_SEARCH)
)

_MIN_VECTOR = (0, 8)
#: Below it: heap overflow in parallel builds (CVE-2026-3172), index corruption by vacuum.
_GOOD_VECTOR = (0, 8, 4)

#: As table.check_tenant. '' is what an unset setting reads as, and must own nothing.
TENANT_CHECK = sql.SQL("CHECK (tenant_id ~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$')")
SCOPE_COLUMN = sql.SQL("scope text NOT NULL DEFAULT '' CHECK (scope ~ '^([A-Za-z0-9][A-Za-z0-9_.-]{0,62})?$')")

_COLLECTION_COLUMNS = sql.SQL(
    "id, name, table_name, dimensions, distance, storage, tenancy, hnsw_m, hnsw_ef_construction, language, "
    "analyser_version, index_method, quantization, ivfflat_lists"
)


def require_extension(*, create: bool = False) -> Plan[str]:
    """The version of the extension ``vector``; raises ExtensionError when it is missing or older than 0.8."""
    found = yield from _extension_version()
    if found is None and create:
        # The lock makes a second process wait instead of colliding in pg_extension's unique index.
        yield Execute(sql.SQL("SELECT pg_advisory_xact_lock(hashtextextended('rag_pgvector', 0))"))
        yield Execute(sql.SQL("CREATE EXTENSION IF NOT EXISTS vector"), prepare=False)
        found = yield from _extension_version()
    if found is None:
        raise ExtensionError(
            "the extension vector is not installed here: run CREATE EXTENSION vector (pgvector >= 0.8)"
        )
    version = tuple(int(part) for part in found.split(".") if part.isdigit())
    if version < _MIN_VECTOR:
        raise ExtensionError(f"pgvector is {found}, rag_pgvector needs 0.8 or newer: run ALTER EXTENSION vector UPDATE")
    if version < _GOOD_VECTOR:
        logger.warning("pgvector is %s; 0.8.4 mends index corruption and a memory error: upgrade it", found)
    return found


def _extension_version() -> Plan[str | None]:
    rows = yield Execute(sql.SQL("SELECT extversion FROM pg_extension WHERE extname = 'vector'"))
    return rows[0][0] if rows else None


def revision() -> Plan[str | None]:
    """The Alembic revision of the schema, or None where there is none."""
    rows = yield Execute(sql.SQL("SELECT to_regclass('rag.alembic_version') IS NOT NULL"))
    if not rows[0][0]:
        return None
    rows = yield Execute(sql.SQL("SELECT version_num FROM rag.alembic_version"))
    return rows[0][0] if rows else None


def current_role() -> Plan[str]:
    """The name of the role that the connection runs as."""
    rows = yield Execute(sql.SQL("SELECT current_user::text"))
    return str(rows[0][0])


def grant_control_tables(role: str) -> Plan[None]:
    """Let an application role use the control tables that another role made."""
    for statement in (
        "GRANT USAGE ON SCHEMA rag TO {}",
        "GRANT SELECT ON rag.alembic_version TO {}",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON rag.collections, rag.documents, rag.ingest_runs, rag.ingest_failures, "
        "rag.eval_runs, rag.calibrations TO {}",
    ):
        yield Execute(sql.SQL(statement).format(sql.Identifier(role)), prepare=False)


# ------------------------------------------------------------------------------------------------------ collections


def find_collection(name: str) -> Plan[Table | None]:
    """The collection of that name, or None."""
    query = sql.SQL("SELECT {}, alpha FROM rag.collections WHERE name = %s").format(_COLLECTION_COLUMNS)
    rows = yield Execute(query, (name,))
    if not rows:
        return None
    id_, name, table, dimensions, distance, storage, tenancy, m, ef_construction, language, version, *index = rows[0]
    method, quantization, lists, alpha = index
    config = CollectionConfig(
        dimensions=dimensions,
        distance=distance,
        storage=storage,
        tenancy=tenancy,
        hnsw_m=m,
        hnsw_ef_construction=ef_construction,
        language=language,
        index=method,
        quantization=quantization,
        ivfflat_lists=lists,
    )
    return Table(id_, name, table, config, version, alpha=alpha)


def set_alpha(table: Table, alpha: float | None) -> Plan[None]:
    """Keep the share of the vectors in the collection's hybrid searches; None lets each question's scores say."""
    yield Execute(sql.SQL("UPDATE rag.collections SET alpha = %s WHERE id = %s"), (alpha, table.collection_id))


def is_gone(table: Table) -> Plan[bool]:
    """Whether the collection was dropped, or dropped and made anew, since ``table`` was read."""
    if not table.layout.native:  # a peer's table is in no list of ours
        rows = yield Execute(sql.SQL("SELECT to_regclass(%s) IS NULL"), (table.identifier.as_string(None),))
        return bool(rows[0][0])
    found = yield from find_collection(table.collection)
    return found is None or found.collection_id != table.collection_id


def dropped(table: Table) -> CollectionNotFoundError:
    """The error of an object that outlived its collection."""
    return CollectionNotFoundError(
        f"collection {table.collection!r} was dropped by somebody else: open or create it again"
    )


def list_collections() -> Plan[list[str]]:
    rows = yield Execute(sql.SQL('SELECT name FROM rag.collections ORDER BY name COLLATE "C"'))
    return [row[0] for row in rows]


def create_collection(name: str, config: CollectionConfig) -> Plan[Table]:
    """Create the table and its row in ``rag.collections``; what another process made first is returned as it is.

    Run it in one transaction. ``config.dimensions`` must be set.
    """
    yield Execute(sql.SQL("SELECT pg_advisory_xact_lock(hashtextextended(%s, 1))"), (name,))
    found = yield from find_collection(name)
    if found is not None:
        return found
    rows = yield Execute(
        sql.SQL(
            "INSERT INTO rag.collections "
            "(name, table_name, dimensions, distance, storage, tenancy, hnsw_m, hnsw_ef_construction, language, "
            "analyser_version, index_method, quantization, ivfflat_lists) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING id"
        ),
        (
            name,
            table_name(name),
            config.dimensions,
            config.distance,
            config.storage,
            config.tenancy,
            config.hnsw_m,
            config.hnsw_ef_construction,
            config.language,
            ANALYSER_VERSION,
            config.index,
            config.quantization,
            config.ivfflat_lists,
        ),
    )
    table = Table(rows[0][0], name, table_name(name), config, ANALYSER_VERSION)
    warn_of(config)
    for statement in create_table_sql(table):
        yield Execute(statement, prepare=False)
    if table.multi:
        yield from roles.ensure_roles()
        for statement in [*fence_sql(table.identifier), *keyword_schema.fence_and_grant_sql(table)]:
            yield Execute(statement, prepare=False)
        yield from roles.grant_table(table)
    return table


def bind_embedder(table: Table, name: str, fingerprint: Sequence[float]) -> Plan[tuple[str, list[float]]]:
    """Record the model that embeds a collection, once; returns the one that is recorded.

    Where there is one nothing is written: who may only read searches by vectors, too.
    """
    query = sql.SQL("SELECT embedder, fingerprint FROM rag.collections WHERE id = %s")
    rows = yield Execute(query, (table.collection_id,))
    if rows and rows[0][1] is None:
        yield Execute(
            sql.SQL("UPDATE rag.collections SET embedder = %s, fingerprint = %s WHERE id = %s AND fingerprint IS NULL"),
            (name, list(fingerprint), table.collection_id),
        )
        rows = yield Execute(query, (table.collection_id,))
    if not rows:
        raise dropped(table)
    return rows[0][0], rows[0][1]


def create_table_sql(table: Table) -> list[sql.Composed]:
    """The statements that make a collection's table.

    The TOAST target keeps vectors of up to about 800 dimensions in their rows, where an exact search reads them in half
    the time; Postgres's own 2 kB would move every one of 384 dimensions out.
    """
    if table.multi:
        owner = sql.SQL("tenant_id text NOT NULL {},\n    {}").format(TENANT_CHECK, SCOPE_COLUMN)
    else:
        owner = sql.SQL("tenant_id text NOT NULL DEFAULT '' CHECK (tenant_id = '')").format()
    norm = sql.SQL("vector_norm" if table.config.storage == "vector" else "l2_norm")
    nonzero = sql.SQL(" CHECK ({}(embedding) > 0)").format(norm) if table.config.distance == "cosine" else sql.SQL("")
    return [
        sql.SQL(
            """CREATE TABLE {table} (
    {owner},
    id text NOT NULL CHECK (octet_length(id) BETWEEN 1 AND 512),
    document_id text,
    source text,
    page_or_row integer,
    char_start integer,
    char_end integer,
    content text NOT NULL,
    content_hash bytea NOT NULL,
    metadata jsonb NOT NULL DEFAULT '{{}}',
    embedding {type}({dimensions}){nonzero},
    embedding_hash bytea,
    seq bigint GENERATED BY DEFAULT AS IDENTITY (SEQUENCE NAME {sequence}),
    keyword_length integer,
    node jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT {key_name} PRIMARY KEY ({key})
) WITH (toast_tuple_target = 4080)"""
        ).format(
            table=table.identifier,
            owner=owner,
            key=table.key,
            key_name=table.key_name,
            sequence=table.sequence,
            type=table.vector_type,
            dimensions=sql.Literal(table.config.dimensions),
            nonzero=nonzero,
        ),
        sql.SQL("CREATE INDEX {} ON {} (tenant_id, document_id, char_start) WHERE document_id IS NOT NULL").format(
            sql.Identifier(table_name(table.collection, "document")), table.identifier
        ),
        *keyword_schema.create_sql(table),
    ]


def grant_collection(table: Table, role: str) -> Plan[None]:
    """Let an application role read and write a collection that another role made."""
    for relation in (table.identifier, *map(table.relation, KEYWORD_KINDS)):
        grant = sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO {}")
        yield Execute(grant.format(relation, sql.Identifier(role)), prepare=False)
    usage = sql.SQL("GRANT USAGE ON SEQUENCE {} TO {}").format(table.sequence, sql.Identifier(role))
    yield Execute(usage, prepare=False)


def drop_collection(table: Table) -> Plan[None]:
    """Drop the table, its documents and its row in ``rag.collections``. Run it in one transaction."""
    yield Execute(sql.SQL("SELECT pg_advisory_xact_lock(hashtextextended(%s, 1))"), (table.collection,))
    for relation in (table.identifier, *map(table.relation, KEYWORD_KINDS)):
        yield Execute(sql.SQL("DROP TABLE IF EXISTS {}").format(relation), prepare=False)
    yield Execute(sql.SQL("DELETE FROM rag.collections WHERE id = %s"), (table.collection_id,))
