"""The search planner: what searching costs, what is known of a table and of a filter, and what follows from both.

Everything known here is an estimate that may be stale or wrong. It decides how a search runs and so how long it takes,
never what it finds: an index walk that comes back short is followed by an exact pass (``search.dense``).
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, fields, replace
from typing import Generic, TypeVar

from psycopg import sql

from rag_pgvector.config import CollectionConfig, SearchOptions
from rag_pgvector.index_kinds import index_kind, probes_for
from rag_pgvector.index_memory import likely_rows
from rag_pgvector.plan import Execute, Plan
from rag_pgvector.read import Where, owned
from rag_pgvector.table import Table
from rag_pgvector.types import SearchPlan

__all__ = [
    "EF_SEARCH",
    "EXACT_ROWS",
    "CostModel",
    "Estimates",
    "TableState",
    "Walk",
    "choose",
    "passing_rows",
    "stored_costs",
    "table_state",
]

#: hnsw.ef_search of our own connections (schema.SESSION_DEFAULTS).
EF_SEARCH = 240
#: What the walk keeps under a filter or among other tenants' rows, where those that pass are a part of what it visits.
EF_SEARCH_FILTERED = 400
#: So few rows are compared whatever it costs: at most a millisecond, and nothing is missed.
EXACT_ROWS = 1_000
#: An exact search misses nothing, which is worth so much more time.
EXACT_BONUS = 1.3
#: pgvector's largest hnsw.ef_search.
MOST_EF = 1000
#: So many candidates are visited for each one that is wanted and passes, where the best of them are taken afterwards.
MARGIN = 4.0
#: The same for a walk in the order of distance, which goes on where it found too few.
MARGIN_ORDERED = 3.0
#: pgvector's default of hnsw.max_scan_tuples: where an iterative walk gives up.
MAX_SCAN_TUPLES = 20_000
#: A tenant's rows are counted up to here (an index-only scan of about 3 ms), and estimated from a sample beyond.
COUNTED_ROWS = 20_000
#: Rows looked at to estimate how many pass a filter, and how many of them at most from one page.
SAMPLE_PAGES = 160
SAMPLE_PER_PAGE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class CostModel:
    """What a search costs, in microseconds on one machine. ``rag-pgvector tune`` measures it.

    Attributes:
        search_us: Of any search: the round trip, and the rows that come back.
        row_us: To read a row that lies beside the one before, and to test it.
        scattered_row_us: To read a row of a tenant that lies among the rows of others.
        distance_us: To compare two vectors, per 1,000 dimensions of ``vector``.
        candidate_us: To visit a candidate of an HNSW walk, but for the comparisons.
        comparisons: How many comparisons each candidate takes.
    """

    search_us: float = 250.0
    row_us: float = 0.4
    scattered_row_us: float = 1.2
    distance_us: float = 0.8
    candidate_us: float = 1.5
    comparisons: float = 12.0

    def exact_us(self, config: CollectionConfig, *, read: float, compared: float) -> float:
        """An exact search that reads ``read`` rows and compares the vectors of ``compared`` of them."""
        row = self.scattered_row_us if config.tenancy == "multi" else self.row_us
        return self.search_us + read * row + compared * self._distance(config)

    def walk_us(self, config: CollectionConfig, candidates: float) -> float:
        """A walk through the HNSW index that visits so many candidates."""
        return self.search_us + candidates * (self.candidate_us + self.comparisons * self._distance(config))

    def _distance(self, config: CollectionConfig) -> float:
        return self.distance_us * (config.dimensions or 0) / 1000.0


def stored_costs() -> Plan[CostModel]:
    """What ``rag-pgvector tune`` measured here, else the defaults."""
    names = [field.name for field in fields(CostModel)]
    columns = sql.SQL(", ").join(map(sql.Identifier, names))
    rows = yield Execute(sql.SQL("SELECT {} FROM rag.search_costs").format(columns))
    return CostModel(**dict(zip(names, rows[0], strict=True))) if rows else CostModel()


@dataclass(frozen=True, slots=True)
class TableState:
    """What the planner knows of a table, or of one tenant's part of it.

    Attributes:
        rows: Of the tenant, or of the table.
        index: Whether there is a valid vector index.
        table_rows: Of the whole table.
        sample: Places of rows (``ctid``) all over the table, as a literal of ``tid[]``; "" where it is empty.
        sampled: How many rows are likely to lie there.
        lists: Of an IVFFlat index.
    """

    rows: int
    index: bool
    table_rows: int = 0
    sample: str = ""
    sampled: float = 0.0
    lists: int = 0


def table_state(table: Table) -> Plan[TableState]:
    """Rows, whether there is a valid vector index, and where to take a sample.

    The rows of a whole table are estimated from the catalogue: none is read. A tenant's are counted, up to where it no
    longer matters.
    """
    kind = index_kind(table.config)
    rows = yield Execute(
        sql.SQL(
            "SELECT c.reltuples, c.relpages, pg_relation_size(c.oid), i.lists IS NOT NULL, i.lists FROM pg_class c "
            # by what it is, not by its name: a peer's table may have any
            "LEFT JOIN LATERAL (SELECT coalesce((SELECT p.option_value::int FROM pg_options_to_table(n.reloptions) p "
            "WHERE p.option_name = 'lists'), 100) AS lists "
            "FROM pg_index i JOIN pg_class n ON n.oid = i.indexrelid JOIN pg_am m ON m.oid = n.relam "
            "JOIN pg_opclass o ON o.oid = i.indclass[0] WHERE i.indrelid = c.oid AND i.indisvalid "
            "AND i.indpred IS NULL AND m.amname = %s AND o.opcname = %s AND i.indkey[0] = CASE WHEN %s THEN 0 "
            "ELSE (SELECT a.attnum FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = %s) END LIMIT 1) i "
            "ON true WHERE c.oid = to_regclass(%s)"
        ),
        (
            "" if kind is None else kind.method,
            "" if kind is None else kind.opclass,
            kind is not None and kind.rescored,  # an expression is indexed
            table.layout.embedding,
            table.identifier.as_string(None),
        ),
    )
    if not rows:
        return TableState(0, False)
    tuples, pages, size, index, lists = rows[0]
    analysed = tuples >= 0 and pages > 0
    estimate = tuples / pages * size / 8192 if analysed else likely_rows(size, table.config)
    sample, sampled = _places(estimate, size // 8192)
    state = TableState(int(estimate), index, int(estimate), sample, sampled, lists or 0)
    if not table.multi:
        return state
    parts, params = owned(table)
    some = sql.SQL("SELECT count(*) FROM (SELECT FROM {} WHERE {} LIMIT %s) AS counted").format(
        table.identifier, sql.SQL(" AND ").join(parts)
    )
    rows = yield Execute(some, [*params, COUNTED_ROWS])
    own = rows[0][0]
    if own >= COUNTED_ROWS:
        own = max(own, int((yield from passing_rows(table, state, None))))
    return replace(state, rows=own, table_rows=max(own, state.table_rows))


def _places(rows: float, pages: int) -> tuple[str, float]:
    """Places of rows on pages all over a table, the same ones every time, so that they stay in memory."""
    if pages < 1 or rows < 1:
        return "", 0.0
    draw = random.Random(pages.bit_length())
    lines = max(1, math.ceil(rows / pages))
    places = [
        f'"({page},{line})"'
        for page in sorted(draw.sample(range(pages), min(pages, SAMPLE_PAGES)))
        for line in draw.sample(range(1, lines + 1), min(lines, SAMPLE_PER_PAGE))
    ]
    return f"{{{','.join(places)}}}", len(places) * rows / pages / lines


def passing_rows(table: Table, state: TableState, condition: Where | None) -> Plan[float]:
    """About how many rows satisfy a condition, from a sample.

    Postgres's own estimate does not serve: it knows nothing of what is inside jsonb, and hides what it knows of a table
    under row-level security. The sample is read under both locks like everything else.
    """
    if not state.sample:
        return float(state.rows)
    parts, own = owned(table)
    chosen, params = condition if condition is not None else (sql.SQL("true").format(), [])
    rows = yield Execute(
        sql.SQL("SELECT count(*), count(*) FILTER (WHERE {}) FROM {} WHERE {}").format(
            chosen, table.identifier, sql.SQL(" AND ").join([sql.SQL("ctid = ANY(%s::tid[])"), *parts])
        ),
        [*params, state.sample, *own],
    )
    seen, passed = rows[0]
    passed = max(passed, 0.5)
    if condition is not None and seen >= min(50, state.rows):
        return float(state.rows * passed / seen)
    return float(min(state.rows, state.table_rows * passed / max(state.sampled, 1.0)))


@dataclass(frozen=True, slots=True)
class Walk:
    """How to walk the index: pgvector's settings of the same names, those of HNSW or those of IVFFlat.

    ``fetched``: take so many rows that pass, and the best of these. It makes the walk go on where the largest
    ``ef_search`` holds hardly more than ``k`` of them.
    """

    ef_search: int = 0
    max_scan_tuples: int = 0
    fetched: int = 0
    probes: int = 0
    max_probes: int = 0


def choose(
    table: Table, state: TableState, options: SearchOptions, costs: CostModel, *, k: int, passing: float | None
) -> tuple[SearchPlan, Walk | None]:
    """Exact or approximate, with the reason in words, and how to walk.

    ``passing``: about how many rows satisfy the filter, None where there is none.
    """
    config = table.config
    if options.exact:
        return SearchPlan("exact", "asked for"), None
    if not state.index:
        return SearchPlan("exact", "no valid vector index"), None
    found = state.rows if passing is None else passing
    share = min(1.0, max(found, 0.5) / max(state.table_rows, 1))
    if config.index == "ivfflat":
        return _choose_lists(
            table, state, options, costs, wanted=k if share >= 1.0 else MARGIN * k / share, found=found
        )
    least = options.ef_search or (EF_SEARCH if share >= 1.0 else min(EF_SEARCH_FILTERED, EF_SEARCH / share))
    visited = max(least, k if share >= 1.0 else MARGIN_ORDERED * k / share)
    ef_search = options.ef_search or min(MOST_EF, math.ceil(visited))
    exact_us = costs.exact_us(config, read=state.rows, compared=found)
    walk_us = costs.walk_us(config, max(ef_search, visited))
    about = f"about {state.rows} rows"
    if passing is not None:
        about += f", {passing / max(state.rows, 1):.2%} under the filter"
    about += f": exact {exact_us / 1000:.1f} ms, index {walk_us / 1000:.1f} ms"
    if options.exact is None and (state.rows <= EXACT_ROWS or exact_us <= EXACT_BONUS * walk_us):
        return SearchPlan("exact", about), None
    # A walk that finds little goes on for as long as the exact pass, which then follows, would have taken.
    each = (costs.walk_us(config, 1000) - costs.search_us) / 1000
    most = max(MAX_SCAN_TUPLES if options.exact is False else 1000, int(exact_us / each), 2 * ef_search)
    scarce = options.ef_search is None and share < 1.0 and visited > MOST_EF
    return SearchPlan("hnsw", about, ef_search), Walk(ef_search, most, math.ceil(MARGIN * k) if scarce else 0)


def _choose_lists(
    table: Table, state: TableState, options: SearchOptions, costs: CostModel, *, wanted: float, found: float
) -> tuple[SearchPlan, Walk | None]:
    """Exact, or how many of an IVFFlat index's lists to look through."""
    lists = max(1, state.lists)
    probes = min(lists, options.probes or probes_for(lists, state.table_rows, wanted))
    looked = state.table_rows * probes / lists
    exact_us = costs.exact_us(table.config, read=state.rows, compared=found)
    walk_us = costs.exact_us(table.config, read=looked + lists, compared=looked + lists)
    about = (
        f"about {state.rows} rows: exact {exact_us / 1000:.1f} ms, {probes} of {lists} lists {walk_us / 1000:.1f} ms"
    )
    asked = options.exact is False or options.probes is not None
    if not asked and (state.rows <= EXACT_ROWS or exact_us <= EXACT_BONUS * walk_us):
        return SearchPlan("exact", about), None
    return SearchPlan("ivfflat", about), Walk(probes=probes, max_probes=lists)


# --------------------------------------------------------------------------------------------------------- remembering

V = TypeVar("V")


class _Recent(Generic[V]):
    """The values learned last, each for some seconds. Any number of threads may use it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[Hashable, tuple[float, V]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> V | None:
        found = self._values.get(key)
        return found[1] if found is not None and time.monotonic() <= found[0] else None

    def put(self, key: Hashable, value: V, seconds: float) -> None:
        with self._lock:
            self._values[key] = (time.monotonic() + seconds, value)
            self._values.move_to_end(key)
            while len(self._values) > self._most:
                self._values.popitem(last=False)

    def clear(self) -> None:
        with self._lock:
            self._values.clear()


class Estimates:
    """What the planner has learned of one collection and believes for some seconds; all its tenants' objects share it.

    ``costs`` are those of the database's machine.
    """

    #: How long a table's state is believed; of a large one, which changes more slowly, longer.
    STATE_SECONDS = 10.0
    LARGE_STATE_SECONDS = 60.0
    FILTER_SECONDS = 60.0

    def __init__(self, costs: CostModel | None = None) -> None:
        self.costs = costs or CostModel()
        self._states: _Recent[TableState] = _Recent(10_000)
        self._filters: _Recent[float] = _Recent(2_000)

    def state(self, table: Table) -> Plan[TableState]:
        """What is known of a table (or of one tenant's rows), learned where it is not."""
        key = (table.tenant, table.scope)
        state = self._states.get(key)
        if state is None:
            state = yield from table_state(table)
            large = state.rows >= COUNTED_ROWS and state.index
            self._states.put(key, state, self.LARGE_STATE_SECONDS if large else self.STATE_SECONDS)
        return state

    def learn(self, table: Table, condition: Where | None) -> Plan[tuple[TableState, float | None]]:
        """The table's state, and about how many rows satisfy a filter; None where there is none or it cannot matter."""
        state = yield from self.state(table)
        if condition is None or not state.index or state.rows <= EXACT_ROWS:
            return state, None
        return state, (yield from self._passing(table, state, condition))

    def _passing(self, table: Table, state: TableState, condition: Where) -> Plan[float]:
        rendered = condition[0].as_bytes(None)
        key = (table.tenant, table.scope, rendered, tuple(condition[1]))
        found = self._filters.get(key)
        if found is None:
            found = yield from passing_rows(table, state, condition)
            self._filters.put(key, found, self.FILTER_SECONDS)
        return found

    def forget(self) -> None:
        """Learn everything anew: much was written, or an index was built."""
        self._states.clear()
        self._filters.clear()
