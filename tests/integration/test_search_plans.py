"""What the planner does on a real server: every statement by the index it was written for, and never a result lost."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import psycopg
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from rag_pgvector import Chunk, Collection, CollectionConfig, Database, SearchOptions
from rag_pgvector.bound import BoundEmbedder
from rag_pgvector.plan import Execute, Plan, SetLocal
from rag_pgvector.planner import EXACT_ROWS, CostModel, stored_costs
from rag_pgvector.read import where
from rag_pgvector.tune import store_costs

ROWS, SIZE = 4_000, 24
SHARES = (0.001, 0.01, 0.05, 0.2, 0.5, 1.0)


def rows(seed: int) -> NDArray[np.float32]:
    draw = np.random.default_rng(seed)
    centres = draw.normal(size=(40, SIZE))
    return (centres[draw.integers(40, size=ROWS)] + 0.7 * draw.normal(size=(ROWS, SIZE))).astype(np.float32)


def chunks(vectors: NDArray[np.float32], prefix: str = "") -> list[Chunk]:
    rank = np.random.default_rng(3).permutation(len(vectors))
    return [
        Chunk(id=f"{prefix}{i:05}", content=f"text {i}", embedding=v, metadata={"rank": int(rank[i])})
        for i, v in enumerate(vectors)
    ]


@pytest.fixture(scope="module")
def vectors() -> NDArray[np.float32]:
    return rows(11)


@pytest.fixture(scope="module")
def indexed(module_database_url: str, vectors: NDArray[np.float32]) -> Iterator[Collection]:
    """Read only."""
    with Database(module_database_url) as db:
        docs = db.collection("planned", config=CollectionConfig(dimensions=SIZE))
        docs.add(chunks(vectors))
        docs.build_index()
        yield docs


def text(docs: Collection, **how: Any) -> str:
    return "\n".join(docs.explain_search(vector=[1.0] * SIZE, **how))


WALK, EXACT = SearchOptions(exact=False), SearchOptions(exact=True)
LOW = {"rank": {"$lt": ROWS // 2}}


@pytest.mark.parametrize("k", [10, 300, ROWS])
@pytest.mark.parametrize("filter", [None, LOW])
def test_a_walk_uses_the_vector_index_and_an_exact_search_does_not(
    indexed: Collection, k: int, filter: dict[str, Any] | None
) -> None:
    name = indexed._table.index_name
    if k < 1000:  # above, Postgres may rightly sort
        assert f"Index Scan using {name}" in text(indexed, k=k, filter=filter, options=WALK)
    exact = text(indexed, k=k, filter=filter, options=EXACT)
    assert name not in exact
    assert "Seq Scan" in exact


async def test_the_other_colour_explains_the_same(module_database_url: str, indexed: Collection) -> None:
    async with Database(module_database_url) as db:
        docs = await db.acollection("planned")
        assert await docs.aexplain_search(vector=[1.0] * SIZE, options=WALK) == indexed.explain_search(
            vector=[1.0] * SIZE, options=WALK
        )


def test_under_row_level_security_too(tenant_db: Database, vectors: NDArray[np.float32]) -> None:
    docs = tenant_db.collection("shared", config=CollectionConfig(dimensions=SIZE, tenancy="multi"))
    large, small = docs.for_tenant("large"), docs.for_tenant("small")
    large.add(chunks(vectors))
    small.add(chunks(vectors[:50], "s"))
    docs.build_index()
    for _ in range(2):  # planned, and from the cache
        for filter in (None, LOW):
            walk = text(large, k=10, filter=filter, options=WALK)
            assert f"Index Scan using {docs._table.index_name}" in walk
            exact = text(small, k=10, filter=filter)
            assert "Index Cond: (tenant_id" in exact, "not past everybody's rows"
            assert docs._table.index_name not in exact
            assert exact.count("current_setting") == 0, "read once a statement, in an InitPlan"
            assert "InitPlan" in exact
    result = large.search(vector=vectors[7], k=10)
    assert result.plan.kind == "hnsw"
    assert result[0].chunk.id == "00007"
    assert small.search(vector=vectors[7], k=100).plan.kind == "exact"
    assert len(small.search(vector=vectors[7], k=100)) == 50


def watched(plan: Plan[Any], lines: list[str]) -> Plan[Any]:
    """A plan whose SELECTs are explained before they are sent, all but the vectors' search, which ``explain_search``
    does; what Postgres says of each goes into ``lines``."""
    reply: Any = None
    while True:
        try:
            step = plan.send(reply)
        except StopIteration as ended:
            return ended.value
        for one in flat(step):
            query = one.query if isinstance(one.query, bytes) else one.query.as_bytes(None)
            settings = isinstance(one, SetLocal) or b"pg_class" in query
            if not settings and (query.startswith(b"WITH") or b" AS distance" not in query):
                asked = Execute(b"EXPLAIN (COSTS OFF) " + query, one.params, prepare=False, numbered=one.numbered)
                rows = yield asked
                lines.append("\n".join(row[0] for row in rows))
        reply = yield step


def flat(step: Any) -> Iterator[Execute]:
    if isinstance(step, Execute):
        yield step
    for each in getattr(step, "steps", ()):
        yield from flat(each)


@pytest.mark.parametrize("tenancy", ["single", "multi"])
def test_every_statement_of_a_hybrid_search(
    tenant_db: Database, vectors: NDArray[np.float32], tenancy: Literal["single", "multi"]
) -> None:
    docs = tenant_db.collection("both", config=CollectionConfig(dimensions=SIZE, tenancy=tenancy))
    for tenant in ("large", "other"):
        bound = docs.for_tenant(tenant) if tenancy == "multi" else docs
        # wide rows, which do not compress: on a few pages it would be right to read all of them
        draw = np.random.default_rng(5)
        wide = [
            replace(each, metadata={**each.metadata, "w": draw.bytes(1000).hex()}) for each in chunks(vectors, tenant)
        ]
        bound.add(wide)
    docs.build_index()
    bound = docs.for_tenant("large") if tenancy == "multi" else docs
    asked = bound._asked("hybrid", "text 7", vectors[7], "", ())
    condition = where(bound._table, filter=LOW)
    lines: list[str] = []
    make = bound._asked_plan([asked], 10, condition, LOW, SearchOptions())
    (found,) = bound._run(lambda: watched(make(), lines), retry=True)
    assert found.plan.kind == "hybrid"
    past_all = [each for each in lines if "Seq Scan on chunks_both" in each]
    assert not past_all, "\n\n".join(past_all)
    (sample,) = (each for each in lines if "Tid Scan" in each)
    assert "TID Cond: (ctid = ANY" in sample
    (words,) = (each for each in lines if "postings_both" in each)
    assert re.search(r"Index Cond: .*segment = .*term = ", words), words
    (best,) = (each for each in lines if "Function Scan on best" in each)
    # of what passes, and of what is returned
    assert len(re.findall(r"Index Scan using seqkey_both.*\n.*Index Cond: .*seq = ", best)) == 2, best
    counted = [each for each in lines if each.startswith("Aggregate") and each is not sample]
    assert len(counted) == (tenancy == "multi")
    assert all(re.search(r"using (chunks|seqkey)_both.*\n *Index Cond: \(tenant_id = ", each) for each in counted), (
        counted
    )


@pytest.mark.parametrize("exact", [None, False])
def test_recall_at_every_selectivity(indexed: Collection, vectors: NDArray[np.float32], exact: bool | None) -> None:
    rank = np.random.default_rng(3).permutation(ROWS)
    asked = rows(12)[:60]
    length = np.linalg.norm(vectors, axis=1)
    for share in SHARES:
        below = int(share * ROWS)
        passing = np.flatnonzero(rank < below)
        found = 0.0
        for query in asked:
            best = passing[np.argsort(-(vectors[passing] @ query) / length[passing])[:10]]
            result = indexed.search(
                vector=query, k=10, filter={"rank": {"$lt": below}}, options=SearchOptions(exact=exact)
            )
            assert len(result) == min(10, len(passing))
            found += len({f"{i:05}" for i in best} & {hit.chunk.id for hit in result}) / len(best)
        assert found / len(asked) >= 0.99, f"{share:.1%} of the rows pass: {result.plan}"


@pytest.mark.parametrize("share", SHARES)
def test_a_filter_is_estimated_well_enough_to_choose_by(indexed: Collection, share: float) -> None:
    indexed._estimates.forget()
    plan = indexed.search(vector=[1.0] * SIZE, k=10, filter={"rank": {"$lt": int(share * ROWS)}}).plan
    estimate = float(plan.reason.partition("rows, ")[2].partition("%")[0]) / 100
    assert share / 3 - 0.002 <= estimate <= 3 * share + 0.006, plan.reason


def test_stale_estimates_cost_time_and_no_result(database_url: str, vectors: NDArray[np.float32]) -> None:
    with Database(database_url) as db, psycopg.connect(database_url, autocommit=True) as somebody:
        docs = db.collection("stale", config=CollectionConfig(dimensions=SIZE))
        docs.add(chunks(vectors))
        docs.build_index()
        assert docs.search(vector=vectors[0], k=10, filter=LOW).plan.kind == "hnsw"
        somebody.execute("DELETE FROM rag.chunks_stale WHERE id > '00009'")
        assert {hit.chunk.id for hit in docs.search(vector=vectors[0], k=20)} == {f"{i:05}" for i in range(10)}
        few = docs.search(vector=vectors[0], k=20, filter={"rank": {"$gte": 0}})
        assert len(few) == 10
        somebody.execute("DELETE FROM rag.chunks_stale")
        assert len(docs.search(vector=vectors[0], k=20)) == 0


def test_tune_measures_stores_and_is_believed(database_url: str) -> None:
    with Database(database_url) as db:
        before = db.collection("a", config=CollectionConfig(dimensions=3))
        assert before._estimates.costs == CostModel()
        costs = db.tune()
        assert costs != CostModel()
        assert min(costs.search_us, costs.row_us, costs.distance_us, costs.candidate_us, costs.comparisons) > 0
        assert costs.scattered_row_us >= costs.row_us
        assert db.collection("a")._estimates.costs == costs
    with Database(database_url) as other:
        assert other.run(stored_costs) == costs
        assert other.collection("a")._estimates.costs == costs
        other.run_admin(lambda: store_costs(CostModel(row_us=7.0)))
        assert other.run(stored_costs) == CostModel(row_us=7.0), "one row, the newest"


def test_the_command_line_tunes_and_explains(
    module_database_url: str, indexed: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rag_pgvector.cli.app import app

    model = SimpleNamespace(embed_query=lambda text: np.ones(SIZE, dtype=np.float32))
    monkeypatch.setattr(BoundEmbedder, "proven", lambda self: model)
    monkeypatch.setattr(Database, "tune", lambda self: CostModel())
    done = CliRunner().invoke(app, ["tune", "--url", module_database_url, "--json"])
    assert json.loads(done.stdout)["search_costs"]["row_us"] == CostModel().row_us
    where = ["search", "x", "--collection", "planned", "--url", module_database_url, "--explain"]
    where += ["--mode", "dense"]
    done = CliRunner().invoke(app, where)
    assert f"about {ROWS}" in done.stdout or "rows" in done.stdout
    assert f"Index Scan using {indexed._table.index_name}" in done.stdout
    report = json.loads(CliRunner().invoke(app, [*where, "--json"]).stdout)
    assert report["plan"]["ef_search"]
    assert any("Index Scan" in line for line in report["explain"])
    assert ROWS > EXACT_ROWS
