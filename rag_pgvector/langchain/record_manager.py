"""LangChain's RecordManager in the same database: what ``index()`` remembers of the documents that it stored.

The table is SQLRecordManager's ``upsertion_record``, so that what a program has indexed already stays known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.indexing import RecordManager
from psycopg import sql

from rag_pgvector.errors import ConfigError, DatabaseError
from rag_pgvector.langchain.connection import database_of
from rag_pgvector.plan import Execute, Plan
from rag_pgvector.table import check_tenant

__all__ = ["PGRecordManager"]


class PGRecordManager(RecordManager):
    """Remembers keys by namespace, with the server's clock.

    Args:
        namespace: Whose records these are; one per collection.
        connection: A URL, a SQLAlchemy engine or a ``Database``; None takes the settings' (DATABASE_URL, else the
            embedded server). ``engine`` and ``db_url`` are SQLRecordManager's names for it.
        tenant: Keeps the records of a tenant (and ``scope``) apart from those of others in the same namespace.
        schema_name: The table's schema; None takes the first of the connection's search path.
        engine_kwargs, async_mode: Accepted as SQLRecordManager's; both colours always work.
    """

    def __init__(
        self,
        namespace: str,
        *,
        connection: Any = None,
        engine: Any = None,
        db_url: Any = None,
        engine_kwargs: dict[str, Any] | None = None,
        async_mode: bool = False,
        tenant: str | None = None,
        scope: str | None = None,
        schema_name: str | None = None,
    ) -> None:
        given = [value for value in (connection, engine, db_url) if value is not None]
        if len(given) > 1:
            raise ConfigError("give only one of connection, engine and db_url")
        if scope is not None and tenant is None:
            raise ConfigError(f"scope={scope!r:.80} is a part of a tenant: give tenant, too")
        if tenant is not None:  # names of tenants hold no slash
            part = "" if scope is None else check_tenant(scope, "scope")
            namespace = f"{check_tenant(tenant)}/{part}/{namespace}"
        super().__init__(namespace)
        where: Any = given[0] if given else None
        if hasattr(where, "render_as_string"):  # SQLAlchemy's URL
            where = where.render_as_string(False)
        self._db = database_of(where, engine_kwargs)
        if schema_name is not None and (not schema_name.strip() or set("\0%") & set(schema_name)):
            raise ConfigError(f"schema_name={schema_name!r:.80}: use a name without % and NUL")
        names = ("upsertion_record",) if schema_name is None else (schema_name, "upsertion_record")
        self._table = sql.Identifier(*names)

    # ----------------------------------------------------------------------------------------------------- schema

    def create_schema(self) -> None:
        """Create the table where there is none."""
        self._db.run_admin(lambda: _create(self._table))
        if self._db.admin_is_separate:
            from rag_pgvector import schema

            role = self._db.run(schema.current_role)
            self._db.run_admin(lambda: _grant(self._table, role))

    async def acreate_schema(self) -> None:
        import asyncio

        await asyncio.to_thread(self.create_schema)

    # ------------------------------------------------------------------------------------------------------ verbs

    def get_time(self) -> float:
        """The server's clock, in seconds since 1970."""
        return self._db.run(_time, retry=True)

    async def aget_time(self) -> float:
        return await self._db.arun(_time, retry=True)

    def update(
        self, keys: Sequence[str], *, group_ids: Sequence[str | None] | None = None, time_at_least: float | None = None
    ) -> None:
        """Record that these keys were stored now.

        Raises ConfigError where ``group_ids`` is not as long as ``keys``, DatabaseError where the server's clock is
        behind ``time_at_least``.
        """
        groups = _groups(keys, group_ids)
        if keys:
            self._db.run(lambda: _update(self._table, self.namespace, keys, groups, time_at_least), atomic=True)

    async def aupdate(
        self, keys: Sequence[str], *, group_ids: Sequence[str | None] | None = None, time_at_least: float | None = None
    ) -> None:
        groups = _groups(keys, group_ids)
        if keys:
            await self._db.arun(lambda: _update(self._table, self.namespace, keys, groups, time_at_least), atomic=True)

    def exists(self, keys: Sequence[str]) -> list[bool]:
        """Whether each key is recorded, in the order given."""
        return self._db.run(lambda: _exists(self._table, self.namespace, keys), retry=True)

    async def aexists(self, keys: Sequence[str]) -> list[bool]:
        return await self._db.arun(lambda: _exists(self._table, self.namespace, keys), retry=True)

    def list_keys(
        self,
        *,
        before: float | None = None,
        after: float | None = None,
        group_ids: Sequence[str] | None = None,
        limit: int | None = None,
    ) -> list[str]:
        """The keys recorded before and after these moments (both excluded), of these groups; the oldest first."""
        return self._db.run(lambda: _list(self._table, self.namespace, before, after, group_ids, limit), retry=True)

    async def alist_keys(
        self,
        *,
        before: float | None = None,
        after: float | None = None,
        group_ids: Sequence[str] | None = None,
        limit: int | None = None,
    ) -> list[str]:
        return await self._db.arun(
            lambda: _list(self._table, self.namespace, before, after, group_ids, limit), retry=True
        )

    def delete_keys(self, keys: Sequence[str]) -> None:
        """Forget these keys."""
        self._db.run(lambda: _delete(self._table, self.namespace, keys), atomic=True, retry=True)

    async def adelete_keys(self, keys: Sequence[str]) -> None:
        await self._db.arun(lambda: _delete(self._table, self.namespace, keys), atomic=True, retry=True)

    def clear(self) -> None:
        """Forget the whole namespace, as after a collection was dropped."""
        self._db.run(lambda: _delete(self._table, self.namespace, None), atomic=True, retry=True)

    async def aclear(self) -> None:
        await self._db.arun(lambda: _delete(self._table, self.namespace, None), atomic=True, retry=True)


def _groups(keys: Sequence[str], group_ids: Sequence[str | None] | None) -> list[str | None]:
    groups: list[str | None] = [None] * len(keys) if group_ids is None else list(group_ids)
    if len(groups) != len(keys):
        raise ConfigError(f"{len(keys)} keys and {len(groups)} group_ids: give one for each key")
    return groups


# ------------------------------------------------------------------------------------------------------------ plans

_NOW = sql.SQL("extract(epoch FROM clock_timestamp())::float8")


def _create(table: sql.Identifier) -> Plan[None]:
    yield Execute(sql.SQL("SELECT pg_advisory_xact_lock(hashtextextended('upsertion_record', 3))"))
    if (yield Execute(sql.SQL("SELECT to_regclass(%s) IS NOT NULL"), (table.as_string(None),)))[0][0]:
        return
    yield Execute(
        sql.SQL(
            "CREATE TABLE {} (uuid varchar PRIMARY KEY DEFAULT gen_random_uuid()::text, key varchar, "
            "namespace varchar NOT NULL, group_id varchar, updated_at double precision, "
            "CONSTRAINT uix_key_namespace UNIQUE (key, namespace))"
        ).format(table),
        prepare=False,
    )
    for columns in ("namespace, updated_at", "namespace, group_id"):
        yield Execute(sql.SQL("CREATE INDEX ON {} ({})").format(table, sql.SQL(columns)), prepare=False)


def _grant(table: sql.Identifier, role: str) -> Plan[None]:
    query = sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO {}").format(table, sql.Identifier(role))
    yield Execute(query, prepare=False)


def _time() -> Plan[float]:
    rows = yield Execute(sql.SQL("SELECT {}").format(_NOW))
    return float(rows[0][0])


def _update(
    table: sql.Identifier, namespace: str, keys: Sequence[str], groups: Sequence[str | None], at_least: float | None
) -> Plan[None]:
    now = yield from _time()
    if at_least is not None and now < at_least:
        raise DatabaseError(f"the server's clock ({now}) is behind {at_least}: it was set back; index again")
    last = dict(zip(keys, groups, strict=True))
    # In one order, so that concurrent writers never wait for each other in a circle. The key as the row's uuid would
    # collide between namespaces: SQLRecordManager's table has no default for it.
    query = sql.SQL(
        "INSERT INTO {} (uuid, key, namespace, group_id, updated_at) SELECT gen_random_uuid()::text, key, %s, "
        "group_id, %s::float8 FROM unnest(%s::text[], %s::text[]) AS given (key, group_id) ORDER BY key "
        "ON CONFLICT (key, namespace) DO UPDATE SET updated_at = excluded.updated_at, group_id = excluded.group_id"
    )
    yield Execute(query.format(table), (namespace, now, list(last), list(last.values())))


def _exists(table: sql.Identifier, namespace: str, keys: Sequence[str]) -> Plan[list[bool]]:
    query = sql.SQL("SELECT key FROM {} WHERE namespace = %s AND key = ANY(%s::text[])")
    found = {row[0] for row in (yield Execute(query.format(table), (namespace, list(keys))))}
    return [key in found for key in keys]


def _list(
    table: sql.Identifier,
    namespace: str,
    before: float | None,
    after: float | None,
    group_ids: Sequence[str] | None,
    limit: int | None,
) -> Plan[list[str]]:
    parts: list[sql.Composable] = [sql.SQL("namespace = %s")]
    params: list[Any] = [namespace]
    for condition, value in (("updated_at < %s::float8", before), ("updated_at > %s::float8", after)):
        if value is not None:
            parts.append(sql.SQL(condition))
            params.append(float(value))
    if group_ids is not None:
        parts.append(sql.SQL("group_id = ANY(%s::text[])"))
        params.append(list(group_ids))
    query = sql.SQL("SELECT key FROM {} WHERE {} ORDER BY updated_at, key LIMIT %s::bigint")
    rows = yield Execute(query.format(table, sql.SQL(" AND ").join(parts)), [*params, limit])
    return [row[0] for row in rows]


def _delete(table: sql.Identifier, namespace: str, keys: Sequence[str] | None) -> Plan[None]:
    if keys is None:
        yield Execute(sql.SQL("DELETE FROM {} WHERE namespace = %s").format(table), (namespace,))
        return
    # Joined, not "= ANY": Postgres may go through a long array anew for every row of the namespace.
    query = sql.SQL(
        "DELETE FROM {} AS record USING (SELECT DISTINCT unnest(%s::text[]) AS key) AS wanted "
        "WHERE record.namespace = %s AND record.key = wanted.key"
    )
    yield Execute(query.format(table), (list(keys), namespace))
