"""The tables ``data_NAME`` of llama-index-vector-stores-postgres, their nodes included."""

from __future__ import annotations

from collections.abc import Callable

from psycopg import sql

from rag_pgvector.collection import Collection
from rag_pgvector.database import Database
from rag_pgvector.errors import CollectionMismatchError, CollectionNotFoundError, ConfigError
from rag_pgvector.ingest.importers.adopt import AdoptReport, PeerRows, adopt
from rag_pgvector.ingest.importers.langchain_tables import jsonb_of, without_nul
from rag_pgvector.plan import Execute, Plan

__all__ = ["import_llamaindex", "llamaindex_rows"]

#: From this version on Postgres can say whether a text is JSON.
_SAYS_VALID = 160_000

#: What the peer keeps beside the user's metadata.
_RESERVED = sql.SQL("'{_node_content,_node_type,document_id,doc_id,ref_doc_id}'::text[]")

# ``m`` is the row's metadata (jsonb) and ``c`` the node that it holds (json, which keeps the order of keys), or NULL.
_OWN = sql.SQL("CASE WHEN json_typeof(c -> 'metadata') = 'object' THEN c -> 'metadata' ELSE '{}'::json END")
_METADATA = sql.SQL(
    "CASE WHEN c IS NULL THEN m - '{{_node_content,_node_type}}'::text[] ELSE (m - {reserved}) || "
    "(SELECT coalesce(jsonb_object_agg(key, value), '{{}}') FROM json_each({own}) WHERE key = ANY ({reserved})) END"
).format(reserved=_RESERVED, own=_OWN)
_HAS_PLACE = sql.SQL(
    "coalesce(c ->> 'start_char_idx' ~ '^[0-9]{1,9}$' AND c ->> 'end_char_idx' ~ '^[0-9]{1,9}$', false)"
)
_NODE = sql.SQL(
    "CASE WHEN c IS NOT NULL THEN c::jsonb - '{{id_,embedding,text,metadata}}'::text[] "
    "- CASE WHEN {place} THEN '{{start_char_idx,end_char_idx}}' ELSE '{{}}' END::text[] || jsonb_build_object("
    "'class_name', coalesce(m ->> '_node_type', c ->> 'class_name', 'TextNode'), "
    "'metadata_keys', (SELECT coalesce(jsonb_agg(k), '[]') FROM json_object_keys({own}) AS k), "
    "'metadata_nested', (SELECT coalesce(jsonb_object_agg(key, value::text), '{{}}') FROM json_each({own}) "
    "WHERE json_typeof(value) IN ('object', 'array'))) END"
).format(own=_OWN, place=_HAS_PLACE)
_SOURCE = sql.SQL(
    "(SELECT m ->> k FROM unnest('{source,file_path,file_name,url}'::text[]) WITH ORDINALITY AS s(k, n) "
    "WHERE jsonb_typeof(m -> k) = 'string' AND m ->> k <> '' ORDER BY n LIMIT 1)"
)
_PAGE = sql.SQL(
    "CASE WHEN m ->> 'page_or_row' ~ '^[0-9]{1,9}$' THEN (m ->> 'page_or_row')::integer "
    "WHEN m ->> 'page_label' ~ '^[0-9]{1,9}$' THEN (m ->> 'page_label')::integer END"
)


def import_llamaindex(
    source: Database,
    name: str,
    collection: Collection,
    *,
    schema: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> AdoptReport:
    """Copy a table of LlamaIndex's PGVectorStore into a collection of ours."""
    rows = source.run(lambda: llamaindex_rows(name, schema=schema), retry=True)
    return adopt(source, rows, collection, progress=progress)


def llamaindex_rows(name: str, *, schema: str | None = None) -> Plan[PeerRows]:
    """The rows of the store with this ``table_name``, or of the table of this name.

    A node that was added twice has two rows there: the later one stays. Raises CollectionNotFoundError,
    CollectionMismatchError.
    """
    for part in (name, schema or ""):
        if "%" in part or "\0" in part:
            raise ConfigError(f"{part!r:.80}: a table whose name holds % cannot be imported: rename it")
    columns: dict[str, str] = {}
    for candidate in (f"data_{name.lower()}", name):
        relation = sql.Identifier(candidate) if schema is None else sql.Identifier(schema, candidate)
        found = yield Execute(
            sql.SQL(
                "SELECT a.attname::text, t.typname::text FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid "
                "WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped"
            ),
            (relation.as_string(None),),
        )
        columns = {row[0]: row[1] for row in found}
        if columns:
            break
    if not columns:
        raise CollectionNotFoundError(
            f"there is no table {f'data_{name.lower()}'!r:.80} here: check the URL's database, or use --schema"
        )
    if not {"id", "node_id", "text", "metadata_", "embedding"} <= columns.keys():
        raise CollectionMismatchError(
            f"table {relation.as_string(None)} has the columns {', '.join(sorted(columns))}: it was not made by "
            "llama-index-vector-stores-postgres"
        )
    version = int((yield Execute(sql.SQL("SELECT current_setting('server_version_num')")))[0][0])
    metadata = jsonb_of(sql.SQL("metadata_"), columns["metadata_"])
    # a NUL in the node cannot be kept either
    content = without_nul(sql.SQL("m ->> '_node_content'"))
    valid = sql.SQL("pg_input_is_valid({}, 'json')" if version >= _SAYS_VALID else "left({}, 1) = '{{'")
    plain = sql.SQL("SELECT id, node_id, text, embedding, {} AS m FROM {}").format(metadata, relation)
    with_content = sql.SQL("SELECT *, {} AS w FROM ({}) AS a").format(content, plain)
    with_node = sql.SQL(
        "SELECT *, CASE WHEN {} THEN CASE WHEN json_typeof(w::json) = 'object' THEN w::json END END AS c FROM ({}) AS b"
    ).format(valid.format(sql.SQL("w")), with_content)
    return PeerRows(
        relation=sql.SQL("({}) AS t").format(with_node),
        tables=(relation,),
        key=sql.SQL("id"),
        id=sql.SQL("node_id"),
        content=sql.SQL("text"),
        embedding=sql.SQL("embedding"),
        metadata=_METADATA,
        document_id=sql.SQL("nullif(m ->> 'ref_doc_id', 'None')"),
        source=_SOURCE,
        page_or_row=_PAGE,
        char_start=sql.SQL("CASE WHEN {} THEN (c ->> 'start_char_idx')::integer END").format(_HAS_PLACE),
        char_end=sql.SQL("CASE WHEN {} THEN (c ->> 'end_char_idx')::integer END").format(_HAS_PLACE),
        node=_NODE,
    )
