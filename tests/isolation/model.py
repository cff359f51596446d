"""A state machine that does anything a tenant can do, beside an oracle that knows what each should see."""

from __future__ import annotations

import asyncio
import builtins
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule, run_state_machine_as_test

from rag_pgvector import Chunk, Document, ingest, keys, tenants, transfer
from rag_pgvector.errors import (
    AccessDeniedError,
    ChunkError,
    ConfigError,
    DimensionError,
    FilterError,
    RagPgvectorError,
    TenantError,
)
from rag_pgvector.evals.answers import GoldenQuestion, ask_all
from tests.isolation.search_rules import FILTERS, TENANTS, WHO, SearchRules
from tests.isolation.world import NAME, Logs, Who, World, embed

__all__ = ["Colour", "Isolation", "prove"]

IDS = ("1", "2", "3", "a b", "*", "%", "é", "'; --")
DOCUMENTS = ("d", "table", "table-2")
#: Steps of one run of the machine, which begins without rows.
STEPS = 30
#: More than go in one INSERT, so that they are staged.
MANY = 33

ID_LISTS = st.lists(st.sampled_from(IDS), min_size=1, max_size=5)
NUMBERS = st.integers(0, 3)


class Colour:
    """Calls a method of a collection, or its twin on an event loop that lasts as long as the world."""

    def __init__(self, *, asynchronous: bool = False) -> None:
        self.loop = asyncio.new_event_loop() if asynchronous else None

    def call(self, target: Any, name: str, *arguments: Any, **options: Any) -> Any:
        if self.loop is None or not hasattr(target, "a" + name):
            return getattr(target, name)(*arguments, **options)
        return self._await(getattr(target, "a" + name)(*arguments, **options))

    def settings(self, world: World) -> tuple[str, str]:
        if self.loop is None:
            return world.db.run(world.settings)
        found: tuple[str, str] = self._await(world.db.arun(world.settings))
        return found

    def _await(self, work: Coroutine[Any, Any, Any]) -> Any:
        assert self.loop is not None
        return self.loop.run_until_complete(work)

    def close(self, world: World) -> None:
        if self.loop is not None:
            self._await(world.db.aclose())
            self.loop.close()


def _passes(chunk: Chunk, filter: dict[str, Any] | None) -> bool:
    wanted = None if filter is None else filter["n"]
    number = chunk.metadata["n"]
    return bool(wanted is None or number == wanted or (isinstance(wanted, dict) and number >= wanted["$gte"]))


class Isolation(SearchRules):
    """Subclassed with a world; every rule is an operation of a tenant, checked against ``rows`` and ``documents``."""

    world: World
    colour: Colour
    logs: Logs
    done: Counter[str]

    def __init__(self) -> None:
        super().__init__()
        self.world.clear()
        self.rows: dict[tuple[str, str, str], Chunk] = {}
        self.documents: dict[tuple[str, str, str], Document] = {}
        self.exported: dict[Who, Any] = {}

    # ----------------------------------------------------------------------------------------------------- the oracle

    def visible(self, who: Who, filter: dict[str, Any] | None = None, document_id: str | None = None) -> list[Chunk]:
        found = [
            chunk
            for (tenant, scope, _), chunk in self.rows.items()
            if tenant == who[0] and who[1] in ("", scope) and document_id in (None, chunk.document_id)
        ]
        return [chunk for chunk in found if _passes(chunk, filter)]

    def readable(self, who: Who, document_id: str | None = None) -> list[Document]:
        return [
            document
            for (tenant, scope, id_), document in self.documents.items()
            if tenant == who[0] and who[1] in ("", scope) and document_id in (None, id_)
        ]

    def call(self, who: Who, name: str, *arguments: Any, **options: Any) -> Any:
        """One operation as ``who``; whatever it returns or raises may hold no foreign mark."""
        self.done[name] += 1
        return self.shown(who, self.colour.call(self.world.bound(who), name, *arguments, **options))

    def do(self, module: Any, name: str, *arguments: Any, **options: Any) -> Any:
        """One operation of a module's function, or of its twin."""
        self.done[name] += 1
        return self.colour.call(module, name, *arguments, **options)

    def shown(self, who: Who, result: Any) -> Any:
        assert self.world.canaries.foreign(who, result) == []
        assert self.world.canaries.foreign(who, getattr(result, "plan", None)) == []
        return result

    def refused(self, who: Who, error: type[RagPgvectorError], attempt: Callable[[], Any]) -> None:
        with pytest.raises(error) as raised:
            attempt()
        assert self.world.canaries.foreign(who, raised.value) == []

    @invariant()
    def nothing_is_left_behind(self) -> None:
        assert self.colour.settings(self.world) == ("", "")
        assert self.logs.marked == []

    # -------------------------------------------------------------------------------------------------------- writing

    @rule(who=WHO, ids=ID_LISTS, number=NUMBERS, own=st.booleans())
    def add(self, who: Who, ids: list[str], number: int, own: bool) -> None:
        chunks = [self.world.canaries.chunk(who, id_, number) for id_ in ids]
        given = [replace(chunk, embedding=None) for chunk in chunks] if own else chunks
        assert self.call(who, "add", given) == ids
        self.rows |= {(*who, str(chunk.id)): chunk for chunk in chunks}

    @rule(who=WHO, ids=ID_LISTS, number=NUMBERS, many=st.booleans())
    def upsert(self, who: Who, ids: list[str], number: int, many: bool) -> None:
        ids = [*ids, *map(str, range(100, 100 + MANY))] if many else ids
        chunks = {id_: self.world.canaries.chunk(who, id_, number) for id_ in ids}
        there = sum((*who, id_) in self.rows for id_ in chunks)
        counts = self.call(who, "upsert", chunks.values())
        assert (counts.added, counts.updated) == (len(chunks) - there, there)
        self.rows |= {(*who, id_): chunk for id_, chunk in chunks.items()}

    @rule(who=WHO, ids=st.none() | ID_LISTS, filter=FILTERS)
    def delete(self, who: Who, ids: list[str] | None, filter: dict[str, Any] | None) -> None:
        if ids is None and filter is None:
            return
        gone = {
            key
            for key, chunk in self.rows.items()
            if key[0] == who[0] and who[1] in ("", key[1]) and (ids is None or key[2] in ids) and _passes(chunk, filter)
        }
        assert self.call(who, "delete", ids, filter=filter) == len(gone)
        self.rows = {key: chunk for key, chunk in self.rows.items() if key not in gone}

    @rule(who=WHO, id_=st.sampled_from(DOCUMENTS), ids=ID_LISTS, number=NUMBERS)
    def put_document(self, who: Who, id_: str, ids: list[str], number: int) -> None:
        document = self.world.canaries.document(who, id_)
        fields = {"document_id": id_, "source": document.source}
        chunks = {chunk: self.world.canaries.chunk(who, chunk, number, **fields) for chunk in ids}
        self.call(who, "put_document", document, chunks.values())
        kept = {k: c for k, c in self.rows.items() if k[:2] != who or c.document_id != id_}
        self.rows = kept | {(*who, chunk): value for chunk, value in chunks.items()}
        self.documents[(*who, id_)] = document

    @rule(who=WHO, id_=st.sampled_from(DOCUMENTS))
    def delete_document(self, who: Who, id_: str) -> None:
        gone = {k for k, c in self.rows.items() if k[0] == who[0] and who[1] in ("", k[1]) and c.document_id == id_}
        assert self.call(who, "delete_document", id_) == len(gone)
        self.rows = {key: chunk for key, chunk in self.rows.items() if key not in gone}
        self.documents = {
            k: d for k, d in self.documents.items() if not (k[0] == who[0] and who[1] in ("", k[1]) and k[2] == id_)
        }

    # -------------------------------------------------------------------------------------------------------- reading

    @rule(who=WHO, ids=ID_LISTS, embeddings=st.booleans())
    def get(self, who: Who, ids: list[str], embeddings: bool) -> None:
        found = self.call(who, "get", ids, embeddings=embeddings)
        expected = [chunk for id_ in ids for chunk in self.visible(who) if chunk.id == id_]
        self.same(found, expected)
        assert [chunk.id for chunk in found] == [chunk.id for chunk in expected]

    @rule(who=WHO, filter=FILTERS)
    def count(self, who: Who, filter: dict[str, Any] | None) -> None:
        assert self.call(who, "count", filter) == len(self.visible(who, filter))

    @rule(
        who=WHO,
        filter=FILTERS,
        document_id=st.none() | st.sampled_from(DOCUMENTS),
        limit=st.sampled_from([0, 3, 1000]),
        offset=st.integers(0, 3),
    )
    def list(self, who: Who, filter: dict[str, Any] | None, document_id: str | None, limit: int, offset: int) -> None:
        found = self.call(who, "list", limit=limit, offset=offset, filter=filter, document_id=document_id)
        visible = self.visible(who, filter, document_id)
        assert [c.id for c in found] == sorted(str(c.id) for c in visible)[offset : offset + limit]
        self.among(found, visible)

    @rule(who=WHO, id_=st.sampled_from(DOCUMENTS))
    def read_documents(self, who: Who, id_: str) -> None:
        documents = sorted(each.source for each in self.call(who, "documents"))
        assert documents == sorted(each.source for each in self.readable(who))
        own = sorted(each.source for each in self.call(who, "documents", exact_scope=True))
        assert own == sorted(each.source for key, each in self.documents.items() if key[:2] == who)
        tables = sorted(each.source for each in self.call(who, "tables"))
        assert tables == sorted(each.source for each in self.readable(who) if each.profile is not None)
        readable = self.readable(who, id_)
        one = self.call(who, "document", id_)
        assert one in readable if readable else one is None
        texts = self.call(who, "texts", [id_, "not there"])
        assert texts.keys() == ({id_} if readable else set())
        assert all(text in [each.text for each in readable] for text in texts.values())

    @rule(who=WHO, id_=st.sampled_from(DOCUMENTS))
    def embedded_hashes(self, who: Who, id_: str) -> None:
        found = self.call(who, "embedded_hashes", id_)
        expected = {k[2]: c.content for k, c in self.rows.items() if k[:2] == who and c.document_id == id_}
        assert found.keys() == expected.keys()
        assert self.call(who, "embedding_hash", "text") not in found.values()
        assert self.call(who, "document_embeddings", id_, IDS).keys() == expected.keys() & set(IDS)

    @rule(who=WHO, id_=st.sampled_from(IDS), filter=FILTERS)
    def ask(self, who: Who, id_: str, filter: dict[str, Any] | None) -> None:
        question = f"What is the yearly fee of {id_}?"
        given = self.call(who, "ask", question, filter=filter, threshold=0.0)
        visible = self.visible(who, filter)
        assert {each.source for each in given.citations} <= {chunk.source for chunk in visible}
        golden = GoldenQuestion("q", question, True, "1", (), None, None, "text")
        self.shown(who, ask_all(self.world.bound(who), [golden]))

    @rule(who=WHO)
    def embed(self, who: Who) -> None:
        assert self.call(who, "embed_documents", ["a"]).shape == (1, len(self.call(who, "embed_query", "a")))

    # ---------------------------------------------------------------------------------------- tenants, files and keys

    @rule(who=WHO)
    def export(self, who: Who) -> None:
        lines = self.shown(who, builtins.list(self.do(transfer, "export_tenant", self.world.bound(who))))
        rows = {key: chunk for key, chunk in self.rows.items() if key[0] == who[0] and who[1] in ("", key[1])}
        papers = {key: each for key, each in self.documents.items() if key[0] == who[0] and who[1] in ("", key[1])}
        kinds = Counter(json.loads(line)["kind"] for line in lines)
        assert (kinds["chunk"], kinds["document"]) == (len(rows), len(papers))
        assert self.shown(who, builtins.list(self.do(transfer, "export_rows", self.world.bound(who)))) == lines
        self.exported[who] = lines, rows, papers

    @precondition(lambda self: self.exported)
    @rule(data=st.data())
    def import_again(self, data: st.DataObject) -> None:
        who = data.draw(st.sampled_from(sorted(self.exported)))
        lines, rows, papers = self.exported[who]
        how = data.draw(st.sampled_from(["import_tenant", "import_rows"]))
        counts = self.do(transfer, how, self.world.bound(who), lines)
        assert counts.added + counts.updated + counts.unchanged == len(rows)
        self.rows |= rows
        self.documents |= papers

    @rule(who=WHO)
    def delete_tenant(self, who: Who) -> None:
        gone = [key for key in self.rows if key[0] == who[0]]
        deleted = self.do(tenants, "delete_tenant", self.world.db, who[0])
        assert deleted[self.world.collection._table.name] == len(gone)
        self.rows = {key: chunk for key, chunk in self.rows.items() if key[0] != who[0]}
        self.documents = {key: each for key, each in self.documents.items() if key[0] != who[0]}

    @rule(who=WHO)
    def move_there_and_back(self, who: Who) -> None:
        if not self.visible((who[0], "")):
            return
        self.do(tenants, "move_tenant", self.world.db, who[0], "elsewhere")
        assert self.call(who, "list", limit=1000) == []
        assert self.call(who, "documents") == []
        self.do(tenants, "move_tenant", self.world.db, "elsewhere", who[0])

    @rule()
    def list_tenants(self) -> None:
        found = {each.tenant: each.collections for each in self.do(tenants, "list_tenants", self.world.db)}
        for tenant in TENANTS:
            size = found.get(tenant, {}).get(NAME)
            assert (size.chunks if size else 0) == len(self.visible((tenant, "")))
        assert self.world.canaries.foreign(("nobody", ""), found) == []

    @rule(who=WHO)
    def keys_of_one_tenant(self, who: Who) -> None:
        options = {"permissions": ["data.vector_search"], "scope": who[1] or None}
        made = self.do(keys, "create_key", self.world.db, self.world.canaries.new(who), who[0], **options)
        holder = self.shown(who, self.do(keys, "authenticate", self.world.db, made.secret))
        assert (holder.tenant, holder.scope or "") == who
        assert self.shown((who[0], ""), self.do(keys, "list_keys", self.world.db, who[0]))
        self.shown(who, self.do(keys, "revoke_key", self.world.db, made.id))
        for secret in (made.secret, made.secret[:-1], "", "' OR true --"):
            self.refused(who, AccessDeniedError, partial(self.do, keys, "authenticate", self.world.db, secret))

    @rule(who=WHO)
    def ingest_a_file(self, who: Who) -> None:
        """Everybody's file has the same name, and so the same document id."""
        mark = self.world.canaries.new(who)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "notes.md"
            path.write_text(f"# Fees\n\nThe yearly fee is {mark}.\n")
            (Path(folder) / f"{mark}.csv").touch()  # cannot be read
            assert self.shown(who, self.do(ingest, "ingest", self.world.bound(who), folder)).added
            assert self.shown(who, self.do(ingest, "runs", self.world.bound(who)))
            assert mark in repr(self.shown(who, self.do(ingest, "failures", self.world.bound(who))))
            self.shown(who, self.do(ingest, "retry_failed", self.world.bound(who)))
        (found,) = [each for each in self.call(who, "documents") if each.source.endswith("notes.md")]
        assert mark in self.call(who, "document", found.id).text
        assert self.call(who, "delete_document", found.id) > 0

    # ------------------------------------------------------------------------------------- psql, DDL, opening, mistakes

    @rule(who=WHO, k=st.sampled_from([1, 200]), filter=FILTERS)
    def sql_search(self, who: Who, k: int, filter: dict[str, Any] | None) -> None:
        self.done["sql"] += 1
        query = "SELECT id, content, metadata FROM rag.search_chunks(%s, %s::vector, %s, %s::jsonb)"
        params = [NAME, str(embed(["?"])[0]), k, json.dumps(filter or {})]
        found = self.shown(who, self.world.app(query, params, who=who))
        assert len(found) == min(k, len(self.visible(who, filter)))

    @rule(who=WHO, id_=st.sampled_from(IDS), number=NUMBERS)
    def sql_upsert(self, who: Who, id_: str, number: int) -> None:
        self.done["sql"] += 1
        chunk = replace(self.world.canaries.chunk(who, id_, number), document_id=None)
        query = "SELECT rag.upsert_chunk(%s, %s, %s, %s::jsonb, %s::vector, NULL, %s)"
        params = [NAME, id_, chunk.content, json.dumps(chunk.metadata), str(chunk.embedding), chunk.source]
        self.shown(who, self.world.app(query, params, who=who))
        self.rows[(*who, id_)] = chunk

    @rule(who=WHO, again=st.booleans())
    def build_index(self, who: Who, again: bool) -> None:
        assert self.call(who, "rebuild_index" if again else "build_index").state == "valid"
        assert self.call(who, "index_status").state == "valid"
        assert self.call(who, "index_keywords") >= 0

    @rule(who=WHO)
    def reopen(self, who: Who) -> None:
        assert self.colour.call(self.world.db, "collections") == [NAME]
        self.world.collection = self.colour.call(self.world.db, "collection", NAME, embedder=embed)

    @rule(who=WHO, tenant=st.sampled_from([None, "", " ", "acme ", "acme\0", "*", ["acme"], 1]))
    def no_such_tenant(self, who: Who, tenant: Any) -> None:
        self.refused(who, TenantError, lambda: self.world.collection.for_tenant(tenant))
        self.refused(who, TenantError, lambda: self.colour.call(self.world.collection, "count"))

    @rule(who=WHO, id_=st.sampled_from(IDS))
    def mistakes(self, who: Who, id_: str) -> None:
        chunk = self.world.canaries.chunk(who, id_)
        for error, attempt in (
            (DimensionError, lambda: self.call(who, "add", [replace(chunk, embedding=[1.0])])),
            (ChunkError, lambda: self.call(who, "upsert", [replace(chunk, content="\0")])),
            (FilterError, lambda: self.call(who, "count", {"n": {"$near": 1}})),
            (ConfigError, lambda: self.call(who, "delete")),
            (TenantError, lambda: self.call(who, "drop")),
            (TenantError, lambda: self.call(who, "drop_index")),
            (TenantError, lambda: self.call(who, "set_alpha", 0.5)),
        ):
            self.refused(who, error, attempt)

    # ------------------------------------------------------------------------------------------------------ comparing

    def same(self, found: Sequence[Chunk], expected: Sequence[Chunk]) -> None:
        assert sorted(chunk.content for chunk in found) == sorted(chunk.content for chunk in expected)
        self.among(found, expected)

    def among(self, found: Sequence[Chunk], visible: Sequence[Chunk]) -> None:
        by_content = {chunk.content: chunk for chunk in visible}
        for chunk in found:
            assert chunk == by_content[chunk.content]


def prove(world: World, colour: Colour, logs: Logs, *, operations: int) -> Counter[str]:
    """Run the machine until it has done so many operations; returns how many of which."""
    done: Counter[str] = Counter()
    machine: Any = type("Proof", (Isolation,), {"world": world, "colour": colour, "logs": logs, "done": done})
    options = settings(
        max_examples=max(4, operations // STEPS),  # the first is always the simplest that there is, and shows little
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],  # a leak is a failure as it is; shrinking it takes many minutes
    )
    while done.total() < operations:
        run_state_machine_as_test(machine, settings=options)
    return done
