"""``customize_query_fn`` of llama-index-vector-stores-postgres: the caller adds columns and joins to a search's SELECT.

The function gets a SQLAlchemy ``Select`` and a mapped class, as there. What it returns runs on our own connections,
with our filter, in the order of the score.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql.psycopg import dialect as psycopg_dialect

from rag_pgvector import read
from rag_pgvector.errors import ConfigError
from rag_pgvector.llamaindex.peer import TEXT_SEARCH_COLUMN, PeerTable
from rag_pgvector.llamaindex.query import Found, Request
from rag_pgvector.plan import Execute, Plan
from rag_pgvector.table import Table
from rag_pgvector.types import Chunk, ScoredChunk

__all__ = ["customized"]

_OWN = ("id", "node_id", "text", "metadata_", "distance", "rank")
_SCORES: dict[str, Any] = {
    "cosine": lambda distance: 1.0 - distance,
    "l2": lambda distance: 1.0 / (1.0 + distance),
    "inner_product": lambda distance: -distance,
}
_OPERATORS = {"cosine": "<=>", "l2": "<->", "inner_product": "<#>"}


def customized(
    table: Table,
    peer: PeerTable,
    request: Request,
    *,
    k: int,
    condition: read.Where | None,
    words: bool,
    stored: bool,
) -> Plan[list[Found]]:
    """Search by vector or by words, or list where there is neither, with what ``customize_query_fn`` makes of it."""
    model = mapped(table, peer, searchable=stored)
    statement = sa.select(model.id, model.node_id, model.text, model.metadata_)
    if words:
        config = sa.cast(peer.text_config, postgresql.REGCONFIG)
        question = sa.cast(
            sa.func.replace(sa.cast(sa.func.plainto_tsquery(config, str(request.words)), sa.Text), " & ", " | "),
            postgresql.TSQUERY,
        )
        document = model.text_search_tsv if stored else sa.func.to_tsvector(config, model.text)
        rank = sa.func.ts_rank(document, question)
        statement = statement.add_columns(rank.label("rank")).where(document.op("@@")(question))
        order: list[Any] = [sa.desc("rank"), model.id]
    elif request.vector is None:
        statement = statement.add_columns(sa.cast(sa.null(), sa.Float).label("distance"))
        order = [model.id]
    else:
        vector = sa.cast(sa.literal(_text(request.vector)), _Vector(table.config.storage))
        distance = model.embedding.op(_OPERATORS[table.config.distance], return_type=sa.Float())(vector)
        statement = statement.add_columns(distance.label("distance")).where(model.embedding.is_not(None))
        order = [sa.asc("distance")]
    assert peer.customize is not None
    statement = peer.customize(statement, model, **(request.extra or {}))
    if not isinstance(statement, sa.Select):
        raise ConfigError(f"customize_query_fn returned {type(statement).__name__}: return the Select, changed")
    if condition is not None:
        statement = statement.where(sa.text(_PLACE))
    names = [str(column.key) for column in statement.selected_columns]
    text, params = _compile(statement.order_by(*order).limit(k))
    query: sql.Composable = sql.SQL(text)  # SQLAlchemy's, which binds every value
    if condition is not None:
        own = sql.SQL("{}.id IN (SELECT c.id FROM {} AS c WHERE {})").format(
            table.identifier, table.identifier, condition[0]
        )
        before, after = text.split(_PLACE)
        query = sql.SQL("{}{}{}").format(sql.SQL(before), own, sql.SQL(after))
        position = before.count("%s")
        params = [*params[:position], *condition[1], *params[position:]]
    rows = yield Execute(sql.Composed([query]), params)
    score = (lambda rank: float(rank)) if words else _SCORES[table.config.distance]
    return [_found(dict(zip(names, row, strict=True)), score, "rank" if words else "distance") for row in rows]


#: Stands for our condition while SQLAlchemy writes the rest.
_PLACE = "rag_pgvector_condition"


def _found(row: dict[str, Any], score: Any, measure: str) -> Found:
    metadata = row["metadata_"] if isinstance(row["metadata_"], dict) else {}
    chunk = Chunk(id=row["node_id"], content=row["text"], metadata=metadata)
    distance = row[measure] if measure == "distance" else None
    custom = {name: value for name, value in row.items() if name not in _OWN}
    return Found(ScoredChunk(chunk, 0.0 if row[measure] is None else score(row[measure]), distance), custom)


def _compile(statement: sa.Select[Any]) -> tuple[str, list[Any]]:
    """SQL with %s, and its parameters in order, as the column types bind them."""
    compiled = statement.compile(
        dialect=psycopg_dialect(paramstyle="format"),  # type: ignore[no-untyped-call]
        compile_kwargs={"render_postcompile": True},
    )
    processors: Any = compiled._bind_processors
    params = compiled.params
    return str(compiled), [
        processors[name](params[name]) if name in processors else params[name] for name in compiled.positiontup or ()
    ]


def _text(vector: Any) -> str:
    return "[" + ",".join(repr(float(x)) for x in vector) + "]"


class _Vector(sa.types.UserDefinedType[Any]):
    """``vector`` or ``halfvec``, only to be named."""

    cache_ok = True

    def __init__(self, storage: str) -> None:
        self.storage = storage

    def get_col_spec(self, **_: Any) -> str:
        return self.storage


def mapped(table: Table, peer: PeerTable, *, searchable: bool) -> Any:
    """A class mapped on the table, with the peer's attributes."""
    from sqlalchemy.orm import declarative_base

    columns: dict[str, Any] = {
        "__tablename__": peer.table,
        "__table_args__": {"schema": peer.schema},
        "id": sa.Column(sa.BigInteger, primary_key=True),
        "text": sa.Column(sa.String, nullable=False),
        "metadata_": sa.Column(postgresql.JSONB if table.layout.metadata_type == "jsonb" else postgresql.JSON),
        "node_id": sa.Column(sa.String),
        "embedding": sa.Column(_Vector(table.config.storage)),
    }
    if searchable:
        columns[TEXT_SEARCH_COLUMN] = sa.Column(postgresql.TSVECTOR)
    return type("Data", (declarative_base(),), columns)
