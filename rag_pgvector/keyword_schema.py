"""The tables of a collection's keyword index.

    postings    term -> the documents that hold it, in blocks: one row per segment, term and at most BLOCK documents
    segments    how many documents, of what length in all, a segment of postings was made of
    pending     documents that were written one by one, one row each, until there are enough of them for a segment
    tombstones  documents of either that are no more

A document is known by its chunk's ``seq``, which is new at every change of its content: what points to an old one joins
nothing. A segment is named by the lowest seq in it. Statistics are sums over segments and pending documents less the
tombstones, so that writers never wait for a counter's row. Every comparison that finds rows is leakproof, so that the
indexes work under row-level security.
"""

from __future__ import annotations

from psycopg import sql

from rag_pgvector.fence import APP, OWNER, fence_sql
from rag_pgvector.table import KEYWORD_KINDS, Table, table_name

__all__ = [
    "PACK_SQL",
    "add_bucket_columns_sql",
    "add_column_sql",
    "create_sql",
    "fence_and_grant_sql",
    "pack_sql",
    "trigger_sql",
]

_TABLES = {
    # One block is a tuple of 2 kB at most, four to a page. Each posting is a number of eight bytes, big-endian: 31 bits
    # of the distance between seq and segment, 11 of the frequency, 21 of the document's length. The term '' lists all
    # documents. Not bigint[], which the server sends at .27 us an element.
    # A fresh segment has thousands of terms with a posting or two each, so it has "buckets": the row of a bucket holds
    # the terms whose code falls into it, their postings one after the other, and where each one's end.
    "postings": """CREATE TABLE {table} (
    segment bigint NOT NULL,
    block integer NOT NULL,
    tenant_id text NOT NULL,
    scope text NOT NULL,
    term text COLLATE "C" NOT NULL,
    postings bytea NOT NULL,
    terms text[] COLLATE "C",
    ends integer[],
    CONSTRAINT {key} PRIMARY KEY (tenant_id, segment, term, block)
)""",
    "segments": """CREATE TABLE {table} (
    tenant_id text NOT NULL,
    scope text NOT NULL,
    segment bigint NOT NULL,
    last bigint NOT NULL,
    documents bigint NOT NULL,
    length bigint NOT NULL,
    buckets integer NOT NULL DEFAULT 0,
    CONSTRAINT {key} PRIMARY KEY (tenant_id, scope, segment)
)""",
    "pending": """CREATE TABLE {table} (
    tenant_id text NOT NULL,
    scope text NOT NULL,
    seq bigint NOT NULL,
    length integer NOT NULL,
    terms jsonb NOT NULL,
    CONSTRAINT {key} PRIMARY KEY (tenant_id, scope, seq)
)""",
    "tombstones": """CREATE TABLE {table} (
    tenant_id text NOT NULL,
    scope text NOT NULL,
    seq bigint NOT NULL,
    length integer NOT NULL,
    CONSTRAINT {key} PRIMARY KEY (tenant_id, scope, seq)
)""",
}


def create_sql(table: Table) -> list[sql.Composed]:
    """The statements that make the tables, and what ties them to the chunks' table (which has ``keyword_length``)."""
    made = [
        sql.SQL(_TABLES[kind]).format(
            table=table.relation(kind), key=sql.Identifier(table_name(table.collection, f"{kind}key"))
        )
        for kind in KEYWORD_KINDS
    ]
    return [
        *made,
        sql.SQL("CREATE UNIQUE INDEX {} ON {} (tenant_id, seq)").format(
            sql.Identifier(table_name(table.collection, "seqkey")), table.identifier
        ),
        sql.SQL("CREATE INDEX {} ON {} (tenant_id) WHERE keyword_length IS NULL").format(
            sql.Identifier(table_name(table.collection, "unindexed")), table.identifier
        ),
        *trigger_sql(table),
    ]


def add_column_sql(table: Table) -> sql.Composed:
    """The statement that makes an older table ready for ``create_sql``; all its rows are unindexed then."""
    return sql.SQL("ALTER TABLE {} ADD COLUMN keyword_length integer").format(table.identifier)


def add_bucket_columns_sql(table: Table) -> list[sql.Composed]:
    """The statements that give an older keyword index its buckets; what is stored stays as it is."""
    return [
        sql.SQL(
            'ALTER TABLE {} ADD COLUMN IF NOT EXISTS terms text[] COLLATE "C", ADD COLUMN IF NOT EXISTS ends integer[]'
        ).format(table.relation("postings")),
        sql.SQL("ALTER TABLE {} ADD COLUMN IF NOT EXISTS buckets integer NOT NULL DEFAULT 0").format(
            table.relation("segments")
        ),
    ]


#: Makes bytes of the postings that an older keyword index keeps as numbers.
PACK_SQL = """CREATE FUNCTION rag.packed_postings(bigint[]) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
SELECT coalesce(string_agg(int8send(posting), '' ORDER BY place), '')
FROM unnest($1) WITH ORDINALITY AS numbers(posting, place)
$$"""


def pack_sql(table: Table) -> sql.Composed:
    """The statement that makes bytes of them, with the function of ``PACK_SQL``: no policy hides a row from it."""
    return sql.SQL("ALTER TABLE {} ALTER COLUMN postings TYPE bytea USING rag.packed_postings(postings)").format(
        table.relation("postings")
    )


def trigger_sql(table: Table) -> list[sql.Composed]:
    """The statements that make the triggers of a chunks' table, or change them."""
    scope = sql.SQL("'scope'" if table.multi else "")
    statements = [
        sql.SQL(
            "CREATE OR REPLACE TRIGGER before_chunk_write BEFORE INSERT OR UPDATE ON {} "
            "FOR EACH ROW EXECUTE FUNCTION rag.before_chunk_write({})"
        ).format(table.identifier, scope)
    ]
    tombstones = sql.Literal(table_name(table.collection, "tombstones"))
    for event, rows in (
        ("UPDATE", "OLD TABLE AS rows_before NEW TABLE AS rows_after"),
        ("DELETE", "OLD TABLE AS rows_before"),
    ):
        statements.append(
            sql.SQL(
                "CREATE OR REPLACE TRIGGER {} AFTER {} ON {} REFERENCING {} "
                "FOR EACH STATEMENT EXECUTE FUNCTION rag.bury_chunks({}, {})"
            ).format(
                sql.Identifier(f"bury_chunks_on_{event.lower()}"),
                sql.SQL(event),
                table.identifier,
                sql.SQL(rows),
                tombstones,
                sql.SQL("'scope'" if table.multi else "''"),
            )
        )
    statements.append(
        sql.SQL(
            "CREATE OR REPLACE TRIGGER truncate_postings AFTER TRUNCATE ON {} "
            "FOR EACH STATEMENT EXECUTE FUNCTION rag.truncate_postings({})"
        ).format(
            table.identifier,
            sql.SQL(", ").join(sql.Literal(table_name(table.collection, kind)) for kind in KEYWORD_KINDS),
        )
    )
    return statements


def fence_and_grant_sql(table: Table) -> list[sql.Composed]:
    """The statements that fence the tables of a multi-tenant collection and let the application use them."""
    statements: list[sql.Composed] = []
    for kind in KEYWORD_KINDS:
        relation = table.relation(kind)
        statements += fence_sql(relation)
        statements.append(
            sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO {}").format(relation, sql.Identifier(APP))
        )
        statements.append(sql.SQL("ALTER TABLE {} OWNER TO {}").format(relation, sql.Identifier(OWNER)))
    return statements
