"""The search planner driven by hand: what it chooses and why, and which statements follow. No database."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeVar

import pytest
from psycopg import sql

from rag_pgvector import read
from rag_pgvector.config import CollectionConfig, Distance, SearchOptions, Storage, Tenancy
from rag_pgvector.fence import fenced
from rag_pgvector.plan import Batch, Compute, Execute, Plan, Row, SetLocal, Step, Together
from rag_pgvector.planner import (
    COUNTED_ROWS,
    EF_SEARCH,
    MOST_EF,
    CostModel,
    Estimates,
    TableState,
    choose,
    passing_rows,
    stored_costs,
    table_state,
)
from rag_pgvector.search import dense, result
from rag_pgvector.table import Table
from rag_pgvector.types import SearchResult
from rag_pgvector.vectors import as_vector

T = TypeVar("T")

SMALL, LARGE, HUGE = (TableState(rows, True, rows) for rows in (500, 100_000, 10_000_000))


def table(
    distance: Distance = "cosine", storage: Storage = "vector", tenancy: Tenancy = "single", dimensions: int = 384
) -> Table:
    config = CollectionConfig(dimensions=dimensions, distance=distance, storage=storage, tenancy=tenancy)
    whose = Table(1, "docs", "chunks_docs", config)
    return whose.bound("acme", None) if tenancy == "multi" else whose


def drive(plan: Plan[T], *replies: list[Row]) -> tuple[list[Step], T]:
    """Send the replies in order; the steps that asked for them, and the plan's result."""
    steps = []
    try:
        step = next(plan)
        for reply in replies:
            steps.append(step)
            step = plan.send(reply)
    except StopIteration as stop:
        assert len(steps) == len(replies), "the plan ended early"
        return steps, stop.value
    raise AssertionError(f"the plan wants more: {text(step)}")


def text(step: Step) -> str:
    if isinstance(step, (Batch, Together)):
        return "; ".join(map(text, step.steps))
    assert not isinstance(step, Compute)
    return step.query.decode() if isinstance(step.query, bytes) else step.query.as_string(None)


def limit(step: Step) -> int:
    return int(re.findall(r"LIMIT (\d+)", text(step))[-1])


def hit(id: str, distance: float) -> Row:
    return (id, f"text of {id}", '{"n": 1}', None, "a.md", 2, 0, 9, None, distance)


class Known(Estimates):
    """Estimates that need no database."""

    def __init__(self, state: TableState, passing: float | None = None) -> None:
        super().__init__()
        self.known, self.passes = state, passing

    def learn(self, table: Table, condition: read.Where | None) -> Plan[tuple[TableState, float | None]]:
        yield from ()
        assert (condition is None) == (self.passes is None)
        return self.known, self.passes


# ------------------------------------------------------------------------------------------------------------ choosing


@pytest.mark.parametrize(
    ("state", "options", "k", "share", "kind", "reason"),
    [
        (LARGE, SearchOptions(exact=True), 4, None, "exact", "asked for"),
        (TableState(10**6, False, 10**6), SearchOptions(), 4, None, "exact", "no valid vector index"),
        (TableState(10**6, False, 10**6), SearchOptions(exact=False), 4, None, "exact", "no valid vector index"),
        (TableState(0, True), SearchOptions(), 4, None, "exact", "about 0 rows"),
        (SMALL, SearchOptions(), 4, None, "exact", "about 500 rows"),
        (LARGE, SearchOptions(), 4, None, "hnsw", "about 100000 rows: exact"),
        (LARGE, SearchOptions(), 10, 0.0001, "exact", "0.01% under the filter"),
        (LARGE, SearchOptions(), 10, 0.5, "hnsw", "50.00% under the filter"),
        (LARGE, SearchOptions(), 10, 1.0, "hnsw", "100.00% under the filter"),
        (SMALL, SearchOptions(exact=False), 4, 0.5, "hnsw", "about 500 rows"),
        (HUGE, SearchOptions(), 10, 0.001, "hnsw", "0.10% under the filter"),
        (LARGE, SearchOptions(), 90_000, None, "exact", "about 100000 rows"),
    ],
)
def test_the_planner_chooses_and_says_why(
    state: TableState, options: SearchOptions, k: int, share: float | None, kind: str, reason: str
) -> None:
    passing = None if share is None else share * state.rows
    plan, walk = choose(table(), state, options, CostModel(), k=k, passing=passing)
    assert plan.kind == kind
    assert reason in plan.reason
    assert plan.ef_search == (None if walk is None else walk.ef_search)
    assert (walk is None) == (kind == "exact")


@pytest.mark.parametrize(
    ("k", "share", "asked", "ef"),
    [
        (4, None, None, EF_SEARCH),
        (700, None, None, 700),
        (5000, None, None, MOST_EF),
        (700, None, 7, 7),
        (10, 0.9, 50, 50),
    ],
)
def test_how_far_the_index_is_walked(k: int, share: float | None, asked: int | None, ef: int) -> None:
    passing = None if share is None else share * HUGE.rows
    plan, walk = choose(table(), HUGE, SearchOptions(ef_search=asked), CostModel(), k=k, passing=passing)
    assert walk is not None
    assert plan.ef_search == walk.ef_search == ef


@pytest.mark.parametrize(("k", "share"), [(10, 0.05), (10, 0.06), (25, 0.1), (100, 0.5)])
def test_a_walk_in_order_keeps_three_rows_that_pass_for_each_wanted(k: int, share: float) -> None:
    """With four, where 5 % pass, it took twice the time of the best fixed plan (docs/results.md)."""
    _, walk = choose(table(), HUGE, SearchOptions(), CostModel(), k=k, passing=share * HUGE.rows)
    assert walk is not None
    assert walk.fetched == 0
    assert walk.ef_search * share == pytest.approx(3 * k, abs=share)


def test_the_fewer_pass_the_more_is_visited() -> None:
    """And never so much more that the exact pass would have been quicker."""
    costs, at = CostModel(), table()
    last = 0
    for share in (1.0, 0.9, 0.5, 0.2, 0.05):
        _, walk = choose(at, LARGE, SearchOptions(exact=False), costs, k=10, passing=share * LARGE.rows)
        assert walk is not None
        assert walk.ef_search >= last
        last = walk.ef_search
        _, bounded = choose(at, LARGE, SearchOptions(), costs, k=10, passing=share * LARGE.rows)
        if bounded is not None:
            exact = costs.exact_us(at.config, read=LARGE.rows, compared=share * LARGE.rows)
            assert costs.walk_us(at.config, bounded.max_scan_tuples) <= max(1.2 * exact, 20_000)


def test_costs_grow_with_rows_dimensions_and_candidates() -> None:
    costs = CostModel()
    narrow, wide = table(dimensions=128).config, table(dimensions=1536).config
    for config in (narrow, wide):
        assert costs.exact_us(config, read=1000, compared=10) < costs.exact_us(config, read=2000, compared=10)
        assert costs.exact_us(config, read=1000, compared=10) < costs.exact_us(config, read=1000, compared=900)
        assert costs.walk_us(config, 100) < costs.walk_us(config, 200)
    assert costs.walk_us(narrow, 100) < costs.walk_us(wide, 100)
    scattered = table(tenancy="multi").config
    assert costs.exact_us(table().config, read=1000, compared=1) < costs.exact_us(scattered, read=1000, compared=1)


# ------------------------------------------------------------------------------------------------------------ learning


@pytest.mark.parametrize(
    ("reply", "rows", "index"),
    [
        ([], 0, False),
        ([(1000.0, 10, 10 * 8192, True, None)], 1000, True),
        ([(1000.0, 10, 20 * 8192, False, None)], 2000, False),  # grew since it was analysed
        ([(-1.0, 0, 212 * 50, False, None)], 50, False),  # never analysed
        ([(0.0, 0, 0, False, None)], 0, False),
    ],
)
def test_the_table_is_estimated_from_the_catalogue(reply: list[Row], rows: int, index: bool) -> None:
    _, state = drive(table_state(table(dimensions=3)), reply)
    assert (state.rows, state.table_rows, state.index) == (rows, rows, index)
    assert bool(state.sample) == (rows > 0 and reply[0][2] >= 8192)


def test_a_tenants_rows_are_counted_up_to_a_limit_and_estimated_beyond() -> None:
    catalogue: list[Row] = [(100_000.0, 50_000, 50_000 * 8192, True, None)]
    (_, count), state = drive(table_state(table(tenancy="multi")), catalogue, [(17,)])
    assert (state.rows, state.table_rows) == (17, 100_000)
    assert isinstance(count, Execute)
    assert list(count.params) == ["acme", COUNTED_ROWS]
    (_, _, sample), state = drive(table_state(table(tenancy="multi")), catalogue, [(COUNTED_ROWS,)], [(160, 160)])
    assert "ctid = ANY" in text(sample)
    assert "tenant_id = %s" in text(sample)
    assert 40_000 <= state.rows <= 60_000


@pytest.mark.parametrize(("seen", "passed", "least", "most"), [(300, 30, 9_000, 11_000), (300, 0, 1, 500)])
def test_a_filter_is_estimated_from_a_sample(seen: int, passed: int, least: float, most: float) -> None:
    _, state = drive(table_state(table()), [(100_000.0, 50_000, 50_000 * 8192, True, None)])
    condition = read.where(table(), filter={"year": 2024})
    [step], passing = drive(passing_rows(table(), state, condition), [(seen, passed)])
    assert least <= passing <= most
    assert isinstance(step, Execute)
    assert step.params[-1] == state.sample, "the places are bound"


def test_what_was_learned_is_believed_for_a_while_and_then_forgotten() -> None:
    estimates, of = Estimates(), table()
    catalogue: list[Row] = [(100_000.0, 50_000, 50_000 * 8192, True, None)]
    _, state = drive(estimates.state(of), catalogue)
    assert drive(estimates.state(of)) == ([], state)
    condition = read.where(of, filter={"year": 2024})
    _, learned = drive(estimates.learn(of, condition), [(300, 3)])
    assert learned == (state, state.rows * 3 / 300)
    assert drive(estimates.learn(of, condition)) == ([], learned)
    drive(estimates.learn(of, read.where(of, filter={"year": 2025})), [(300, 3)])
    estimates.forget()
    drive(estimates.learn(of, condition), catalogue, [(300, 3)])


def test_tenants_share_estimates_and_nothing_else() -> None:
    estimates, acme = Estimates(), table(tenancy="multi")
    catalogue: list[Row] = [(100_000.0, 50_000, 50_000 * 8192, True, None)]
    drive(estimates.state(acme), catalogue, [(17,)])
    globex = Table(1, "docs", "chunks_docs", acme.config).bound("globex", None)
    _, state = drive(estimates.state(globex), catalogue, [(5,)])
    assert state.rows == 5


def test_costs_are_those_stored_else_the_defaults() -> None:
    assert drive(stored_costs(), [])[1] == CostModel()
    [step], costs = drive(stored_costs(), [(1.0, 2.0, 3.0, 4.0, 5.0, 6.0)])
    assert costs == CostModel(
        search_us=1.0, row_us=2.0, scattered_row_us=3.0, distance_us=4.0, candidate_us=5.0, comparisons=6.0
    )
    assert "rag.search_costs" in text(step)


# ----------------------------------------------------------------------------------------------------------- searching


def search(
    state: TableState,
    *,
    of: Table | None = None,
    k: int = 2,
    options: SearchOptions | None = None,
    passing: float | None = None,
    defaults: bool = True,
) -> Plan[SearchResult]:
    of = of or table()
    filter = None if passing is None else {"year": 2024}
    found = dense(
        of,
        as_vector([1.0] * (of.config.dimensions or 0), of.config),
        k=k,
        condition=read.where(of, filter=filter),
        filtered=filter is not None,
        options=options or SearchOptions(),
        estimates=Known(state, passing),
        session_defaults=defaults,
    )
    return result(of, found)


def hits(*ids: str) -> list[Row]:
    return [hit(id, (i + 1) / 4) for i, id in enumerate(ids)]


def test_exact_search_is_one_statement_that_no_index_can_serve() -> None:
    [step], result = drive(search(SMALL, passing=5), hits("a", "b"))
    assert isinstance(step, Execute)
    assert ") + 0 AS distance" in text(step)
    assert "embedding IS NOT NULL AND" in text(step)
    assert limit(step) == 2
    assert len(step.params) > 1, "the filter's values are bound"
    assert [(h.chunk.id, h.score, h.distance) for h in result] == [("a", 0.75, 0.25), ("b", 0.5, 0.5)]
    assert result.plan.kind == "exact"


def test_index_search_on_our_connections_is_one_bare_statement() -> None:
    [step], result = drive(search(LARGE), hits("a", "b"))
    assert isinstance(step, Execute)
    assert "ORDER BY distance LIMIT" in text(step)
    assert limit(step) == 2
    assert (result.plan.kind, result.plan.ef_search) == ("hnsw", EF_SEARCH)


@pytest.mark.parametrize(("k", "defaults", "ef"), [(2, False, EF_SEARCH), (700, True, 700), (700, False, 700)])
def test_other_settings_go_with_the_search_in_one_pipeline(k: int, defaults: bool, ef: int) -> None:
    [step], result = drive(search(HUGE, k=k, defaults=defaults), [hit(str(i), i / k) for i in range(k)])
    assert isinstance(step, Batch)
    setting, query = step.steps
    assert isinstance(setting, SetLocal)
    assert str(ef) in setting.params
    assert text(setting).count(", true)") == len(setting.params), "local to the transaction"
    assert "hnsw.iterative_scan" in text(setting)
    assert "enable_seqscan" not in text(setting), "without a condition there is nothing to be kept from"
    assert limit(query) == k
    assert len(result) == k


def test_under_a_filter_postgres_is_left_no_other_way_than_the_index() -> None:
    [step], _ = drive(search(LARGE, passing=50_000), hits("a", "b"))
    assert isinstance(step, Batch)
    for name in ("enable_seqscan", "enable_bitmapscan", "enable_sort", "hnsw.max_scan_tuples"):
        assert name in text(step.steps[0])


def test_an_index_walk_that_comes_back_short_is_followed_by_an_exact_pass() -> None:
    (walk, exact), result = drive(search(LARGE, passing=50_000), hits("a"), hits("a", "b"))
    assert "+ 0" not in text(walk)
    assert ") + 0 AS distance" in text(exact)
    assert [h.chunk.id for h in result] == ["a", "b"]
    assert result.plan.kind == "exact"
    assert "found 1 of 2" in result.plan.reason


def test_the_unfiltered_statement_is_rendered_once() -> None:
    for state, of in ((LARGE, None), (SMALL, None), (SMALL, table(tenancy="multi"))):
        (first,), _ = drive(search(state, of=of), hits("a", "b"))
        (second,), _ = drive(search(state, of=of), hits("a", "b"))
        one, two = (step.steps[-1] if isinstance(step, Batch) else step for step in (first, second))
        assert isinstance(one, Execute)
        assert isinstance(two, Execute)
        assert one.query is two.query


def test_a_tenants_exact_search_is_planned_once_and_its_settings_are_one_statement() -> None:
    of = table(tenancy="multi")
    [step], _ = drive(fenced(of, lambda: search(SMALL, of=of), atomic=False)(), hits("a", "b"))
    assert isinstance(step, Batch)
    settings, query = step.steps
    assert list(settings.params) == ["acme", "", "force_generic_plan"]
    assert text(settings).count("SELECT") == 1
    assert text(settings).count(", true)") == 3, "local to the transaction"
    assert "tenant_id = %s" in text(query)
    assert query.params[1:] == ["acme"]


def test_a_tenants_filter_is_planned_every_time() -> None:
    of = table(tenancy="multi")
    [step], _ = drive(fenced(of, lambda: search(SMALL, of=of, passing=3), atomic=False)(), hits("a", "b"))
    assert "force_generic_plan" not in [value for each in _steps(step) for value in each.params]


def _steps(step: Step) -> Sequence[Execute]:
    assert isinstance(step, Batch)
    return step.steps


@pytest.mark.parametrize(
    ("distance", "operator", "raw", "score"),
    [("cosine", "<=>", 0.25, 0.75), ("l2", "<->", 3.0, 0.25), ("inner_product", "<#>", -5.0, 5.0)],
)
def test_scores_are_higher_better_for_every_distance(
    distance: Distance, operator: str, raw: float, score: float
) -> None:
    [step], result = drive(search(SMALL, of=table(distance, "halfvec", dimensions=3), k=1), [hit("a", raw)])
    assert f"embedding {operator} %s::halfvec" in text(step)
    assert (result[0].score, result[0].distance) == (score, raw)


def test_values_are_bound_and_names_quoted() -> None:
    """A settings' name is the program's, its value is a parameter."""
    (step,), _ = drive(search(HUGE, k=700), [hit(str(i), i / 700) for i in range(700)])
    assert "700" not in text(_steps(step)[0])
    assert sql.Identifier("rag", "chunks_docs").as_string(None) in text(_steps(step)[1])
