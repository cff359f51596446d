"""The keyword index's own tables: each of their locks alone, and that nobody's words count in another's scores."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from rag_pgvector import SearchOptions, postings
from rag_pgvector.fence import fenced
from rag_pgvector.plan import Plan
from rag_pgvector.table import KEYWORD_KINDS
from tests.isolation.mutants import MUTANTS
from tests.isolation.world import Who, World

ACME, BOLT, PART = ("acme", ""), ("bolt", ""), ("acme", "part")
#: The words that every canary's text has, whoever it belongs to.
QUESTION = "what is the yearly fee of 7"
ROWS = {ACME: 260, BOLT: 270, PART: 280}


@pytest.fixture
def listed(world: World) -> World:
    """Everybody has a segment, documents that wait for one, and some that are no more."""
    for who, rows in ROWS.items():
        collection = world.bound(who)
        collection.add([world.canaries.chunk(who, f"{i}") for i in range(rows)])
        collection.add([world.canaries.chunk(who, f"one {i}") for i in range(3)])
        collection.delete(["3", "one 1"])
    return world


def unfence(listed: World) -> None:
    for kind in ("table", *KEYWORD_KINDS):
        listed.admin(of(kind, "ALTER TABLE {kind} DISABLE ROW LEVEL SECURITY"))


def of(kind: str, query: str) -> str:
    return query.replace("kind", kind)


def test_the_policy_alone_keeps_keywords_apart(listed: World) -> None:
    for kind in KEYWORD_KINDS:
        for who, theirs in {ACME: {ACME, PART}, BOLT: {BOLT}, PART: {PART}}.items():
            assert set(listed.app(of(kind, "SELECT tenant_id, scope FROM {kind}"), who=who)) == theirs, kind
            foreign = of(kind, "DELETE FROM {kind} WHERE tenant_id <> %s RETURNING 1")
            assert listed.app(foreign, [who[0]], who=who) == [], kind
            with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.CheckViolation)):
                listed.app(of(kind, "UPDATE {kind} SET tenant_id = 'cosy'"), who=who)
        assert listed.app(of(kind, "SELECT 1 FROM {kind}")) == [], kind


def test_the_where_alone_keeps_keywords_apart(listed: World) -> None:
    """Not only whose rows are found: frequencies and lengths of others would change the scores."""

    def shown(who: Who) -> list[tuple[str | None, float]]:
        found = listed.bound(who).search(QUESTION, k=1000, options=SearchOptions(mode="keyword"))
        assert listed.canaries.foreign(who, list(found)) == []
        return [(hit.chunk.id, hit.score) for hit in found]

    before = {who: shown(who) for who in ROWS}
    assert [len(before[who]) for who in ROWS] == [542, 271, 281], "of acme those of its scope as well"
    assert len({dict(each)["7"] for each in before.values()}) == 3, "statistics are each one's own"
    unfence(listed)
    assert {who: shown(who) for who in ROWS} == before


def test_the_where_alone_keeps_what_waits_apart(listed: World) -> None:
    """Who makes a segment of what waits takes nobody else's with it."""
    counted = "SELECT tenant_id, scope, count(*) FROM {pending} GROUP BY 1, 2 ORDER BY 1, 2"
    assert listed.admin(counted) == [(*ACME, 3), (*PART, 3), (*BOLT, 3)]
    unfence(listed)
    table = listed.bound(ACME)._table

    def flush() -> Plan[bool]:
        return (yield from postings.clean_up(table, flush_all=True))

    listed.db.run(fenced(table, flush, atomic=True), atomic=True)

    assert listed.admin(counted) == [(*PART, 3), (*BOLT, 3)]


def test_every_mutant_names_a_test_that_is_there() -> None:
    """Else a test that was given another name would leave its defence unproven."""
    there = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    assert [mutant.test for mutant in MUTANTS.values() if f"def {mutant.test}(" not in there] == []
