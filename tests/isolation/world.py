"""A multi-tenant collection in a database of its own, opened as an application, and what looks for leaks in it."""

from __future__ import annotations

import hashlib
import logging
import re
import traceback
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import make_url

from rag_pgvector import Chunk, CollectionConfig, Database, Document
from rag_pgvector.collection import Collection
from rag_pgvector.fence import CONTROL
from rag_pgvector.plan import Execute, Plan, Row
from rag_pgvector.table import KEYWORD_KINDS

__all__ = ["DIMENSIONS", "NAME", "Canaries", "Logs", "Who", "World", "embed", "opened"]

NAME = "shared"
DIMENSIONS = 8

#: A tenant and a scope of it; "" is the whole tenant.
Who = tuple[str, str]


def embed(texts: Sequence[str]) -> list[list[float]]:
    """A vector drawn from each text's hash."""
    seeds = (int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") for text in texts)
    return [np.random.default_rng(seed).standard_normal(DIMENSIONS).tolist() for seed in seeds]


class Canaries:
    """Makes marked texts, and finds those marks in whatever somebody was shown."""

    _PATTERN = re.compile(r"CANARY-[A-Za-z0-9_.]+-([0-9a-f]{32})")

    def __init__(self) -> None:
        self._owner: dict[str, Who] = {}

    def new(self, who: Who) -> str:
        mark = uuid.uuid4().hex
        self._owner[mark] = who
        return f"CANARY-{who[0]}-{mark}"

    def chunk(self, who: Who, id_: str, number: int = 0, **fields: Any) -> Chunk:
        """A chunk whose text, source and metadata are marked."""
        text = f"The yearly fee of {id_} is {self.new(who)}."
        given = {
            "content": text,
            "source": self.new(who),
            "metadata": {"n": number, "mark": self.new(who), "tenant_id": "another"},
            "embedding": embed([text])[0],
        }
        return Chunk(id=id_, **(given | fields))

    def document(self, who: Who, id_: str) -> Document:
        return Document(
            id=id_,
            source=self.new(who),
            text=f"The yearly fee of {id_} is {self.new(who)}.",
            loader="text",
            metadata={"mark": self.new(who)},
            profile={"mark": self.new(who), "rows": 0, "columns": []} if id_.startswith("table") else None,
            content_hash=hashlib.sha256(id_.encode()).digest(),
        )

    def foreign(self, who: Who, shown: object) -> list[str]:
        """The marks in ``shown`` (an error with its whole chain) that ``who`` may not see."""
        if isinstance(shown, BaseException):
            text = "".join(traceback.format_exception(shown)) + repr(shown)
        else:
            text = repr(shown)
        tenant, scope = who
        found = []
        for match in self._PATTERN.finditer(text):
            owner = self._owner[match[1]]
            if owner[0] != tenant or scope not in ("", owner[1]):
                found.append(match[0])
        return found


class Logs(logging.Handler):
    """Everything that is logged, psycopg's DEBUG included; nothing that a tenant stored belongs there."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.marked: list[str] = []
        self.records = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.records += 1
        text = self.format(record)
        if "CANARY-" in text:
            self.marked.append(text)


@dataclass
class World:
    """The collection as the application sees it, and the doors that only a test opens."""

    admin_url: str
    app_url: str
    db: Database
    collection: Collection
    canaries: Canaries = field(default_factory=Canaries)

    @property
    def table(self) -> sql.Identifier:
        return self.collection._table.identifier

    def _format(self, query: str, control: str) -> sql.Composed:
        relations = {kind: self.collection._table.relation(kind) for kind in KEYWORD_KINDS}
        relations["control"] = sql.Identifier("rag", control)
        return sql.SQL(query).format(table=self.table, **relations)

    def bound(self, who: Who) -> Collection:
        return self.collection.for_tenant(who[0], scope=who[1] or None)

    def admin(
        self, query: str, params: Sequence[Any] = (), *, role: str | None = None, control: str = "documents"
    ) -> list[Row]:
        """One statement of the superuser, or of a role that it takes on. It may name ``{table}``, ``{postings}`` and
        others, and as ``{control}`` one of fence.CONTROL."""
        with psycopg.connect(self.admin_url, autocommit=True) as conn:
            if role is not None:
                conn.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
            cursor = conn.execute(self._format(query, control), params or None)
            return cursor.fetchall() if cursor.description else []

    def app(
        self, query: str, params: Sequence[Any] = (), *, who: Who | None = None, control: str = "documents"
    ) -> list[Row]:
        """One statement of the application's role, with the settings of ``who`` and no WHERE of ours."""
        with psycopg.connect(self.app_url) as conn:
            if who is not None:
                conn.execute(
                    "SELECT set_config('rag.tenant_id', %s, true), set_config('rag.scope', %s, true)",
                    who,
                    prepare=False,
                )
            text = self._format(query, control)
            cursor = conn.execute(text, params or None, prepare=False)
            return cursor.fetchall() if cursor.description else []

    @staticmethod
    def settings() -> Plan[tuple[str, str]]:
        """What the next borrower of a connection finds: ('', '') and nothing else."""
        rows = yield Execute(
            sql.SQL(
                "SELECT coalesce(current_setting('rag.tenant_id', true), ''), "
                "coalesce(current_setting('rag.scope', true), '')"
            )
        )
        return rows[0][0], rows[0][1]

    def clear(self) -> None:
        """Remove every tenant's rows."""
        self.admin("DELETE FROM {table}")
        for table in CONTROL:
            self.admin("DELETE FROM {control}", control=table)


@contextmanager
def opened(
    admin_url: str, login: str, *, through: str | None = None, pool_size: int = 4, prepare: bool = True
) -> Iterator[World]:
    """A world in the database of ``admin_url``; ``through`` is another address of it (a pooler's)."""
    from rag_pgvector import roles

    password = conninfo_to_dict(admin_url).get("password")
    secret = None if password is None else str(password)
    with Database(admin_url) as admin:
        admin.run_admin(lambda: roles.grant_login(login, create=True, password=secret))
    app_url = make_url(admin_url).set(username=login).render_as_string(hide_password=False)
    config = CollectionConfig(dimensions=DIMENSIONS, tenancy="multi")
    with Database(through or app_url, admin_url=admin_url, pool_size=pool_size, prepare=prepare) as db:
        collection = db.collection(NAME, config=config, embedder=embed)
        yield World(admin_url, app_url, db, collection)
