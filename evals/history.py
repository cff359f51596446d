"""Runs kept in the database (``rag.eval_runs``), listed and drawn over time; and two configurations side by side.

A run belongs to the tenant that the collection was bound to; one without a collection, or of a single-tenant
collection, to nobody in particular. Row-level security keeps them apart as it keeps documents.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from psycopg import sql

from rag_pgvector import Collection, Database
from rag_pgvector.errors import ConfigError, TenantError
from rag_pgvector.evals import charts
from rag_pgvector.evals.gate import compare, value_of
from rag_pgvector.evals.runs import compact
from rag_pgvector.fence import bind
from rag_pgvector.plan import Batch, Execute, Plan

__all__ = ["StoredRun", "Verdict", "canary", "history", "history_svg", "save"]

_INSERT = sql.SQL(
    "INSERT INTO rag.eval_runs "
    "(tenant_id, scope, collection_id, kind, dataset, golden_sha256, label, run, verdict, reasons) "
    "VALUES (%s, %s, %s, %s, %s, %s, %s, %s::jsonb, %s, %s::jsonb) RETURNING id"
)
_LIST = sql.SQL(
    "SELECT r.id, c.name, r.kind, r.dataset, r.golden_sha256, r.label, r.run, r.verdict, r.reasons, r.created_at "
    "FROM rag.eval_runs r LEFT JOIN rag.collections c ON c.id = r.collection_id "
    "WHERE r.tenant_id = %s AND %s IN ('', r.scope) AND (%s::text IS NULL OR r.dataset = %s) "
    "ORDER BY r.created_at DESC, r.id LIMIT %s"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun:
    """A run as it was kept.

    Attributes:
        collection: Its name; ``None`` for a temporary one.
        label: What the caller said about it: a commit, a configuration.
        run: The run without its questions (``runs.compact``).
        verdict: Of the gate or the canary, if there was one, with ``reasons``.
    """

    id: UUID
    collection: str | None
    kind: str
    dataset: str
    golden_sha256: str
    label: str
    run: Mapping[str, Any] = field(repr=False)
    verdict: str | None
    reasons: tuple[str, ...]
    created_at: datetime


def _owner(collection: Collection | None) -> tuple[str, str]:
    if collection is None:
        return "", ""
    if collection.config.tenancy == "multi" and collection.tenant is None:
        raise TenantError(f"collection {collection.name!r} keeps tenants apart: bind it with for_tenant()")
    return collection.tenant or "", collection.scope or ""


def _in_database(db: Database, owner: tuple[str, str], statement: Execute) -> list[Any]:
    """One statement as the owner: bound in the same pipeline, so that row-level security lets it through."""

    def plan() -> Plan[list[Any]]:
        return (yield Batch([bind(*owner), statement]))

    return db.run(plan)


def save(
    db: Database,
    run: Mapping[str, Any],
    *,
    collection: Collection | None = None,
    label: str = "",
    verdict: str | None = None,
    reasons: Sequence[str] = (),
) -> UUID:
    """Keep a run, as the tenant that ``collection`` is bound to (and in its database). Returns its id."""
    tenant, scope = _owner(collection)
    db = db if collection is None else collection.database
    db.ensure_schema()
    id_ = None if collection is None else collection.id
    params = (tenant, scope, id_, run["kind"], run["dataset"], run["golden_sha256"], label)
    texts = (json.dumps(compact(run)), verdict, json.dumps(list(reasons)))
    rows = _in_database(db, (tenant, scope), Execute(_INSERT, (*params, *texts)))
    return UUID(str(rows[0][0]))


def history(
    db: Database, *, collection: Collection | None = None, dataset: str | None = None, limit: int = 50
) -> list[StoredRun]:
    """The runs that were kept, the newest first: of the tenant that ``collection`` is bound to, or of none."""
    tenant, scope = _owner(collection)
    db = db if collection is None else collection.database
    db.ensure_schema()
    rows = _in_database(db, (tenant, scope), Execute(_LIST, (tenant, scope, dataset, dataset, limit)))
    return [
        StoredRun(
            id=row[0], collection=row[1], kind=row[2], dataset=row[3], golden_sha256=row[4], label=row[5],
            run=row[6], verdict=row[7], reasons=tuple(row[8]), created_at=row[9],
        )
        for row in rows
    ]  # fmt: skip


def history_svg(runs: Sequence[StoredRun], metrics: Sequence[str]) -> str:
    """A curve for each metric of each golden set, the oldest run first, one step each, as an SVG file.

    Raises ConfigError for a metric that no run has.
    """
    oldest_first = list(reversed(runs))
    datasets = list(dict.fromkeys(each.dataset for each in oldest_first))
    series, titles = [], []
    for name in metrics:
        known = [each for each in oldest_first if each.run.get("metrics", {}).get(name) is not None]
        if not known:
            raise ConfigError(f"no run has a value of {name!r:.40}")
        for dataset in datasets:
            own = [(i, each) for i, each in enumerate(oldest_first) if each in known and each.dataset == dataset]
            if own:
                values = [(float(i), float(each.run["metrics"][name])) for i, each in own]
                series.append((name if len(datasets) == 1 else f"{dataset} {name}", values))
                told = zip(own, values, strict=True)
                titles.append([f"{each.created_at:%Y-%m-%d %H:%M} {each.label} {v:.4f}" for (_, each), (_, v) in told])
    heights = [value for _, points in series for _, value in points]
    room = max(0.02, 0.15 * (max(heights) - min(heights)))
    last = len(oldest_first) - 1
    ticks = sorted({round(last * step / 4) for step in range(5)}) if last > 4 else list(range(last + 1))
    plot = charts.lines(
        series,
        x="runs, the oldest first",
        y=" ".join(metrics),
        x_range=(-0.5, last + 0.5),
        y_range=(max(0.0, min(heights) - room), min(1.0, max(heights) + room)),
        marks=True,
        x_ticks=[(float(i), oldest_first[i].label[:12] or f"{oldest_first[i].created_at:%m-%d %H:%M}") for i in ticks],
        titles=titles,
    )
    return charts.standalone(plot)


# -------------------------------------------------------------------------------------------------------------- canary


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a candidate may take the place of what runs now.

    Attributes:
        state: ``fail``: it is worse, beyond chance. ``marginal``: it may be worse. ``pass``: neither.
        reasons: In words, one per metric.
        current, candidate: Both runs, with their questions.
    """

    state: Literal["pass", "marginal", "fail"]
    reasons: tuple[str, ...]
    current: Mapping[str, Any] = field(repr=False)
    candidate: Mapping[str, Any] = field(repr=False)


def canary(
    current: Any,
    candidate: Any,
    *,
    max_drop: Mapping[str, float],
    slower: float | None = None,
) -> Verdict:
    """Evaluate two configurations at the same time on the same questions, and tell whether the second is worse.

    Args:
        current, candidate: Functions without arguments that return a run (``runs.retrieval_run``,
            ``runs.answers_run``); each runs in a thread of its own, so that both meet the same load.
        max_drop: As ``gate.check_run``: how far a metric may fall.
        slower: How many times the p95 of ``current`` the candidate's may be; beyond it the verdict is marginal, since
            times on one machine prove little.
    """
    with ThreadPoolExecutor(2) as pool:
        before, now = (each.result() for each in [pool.submit(current), pool.submit(candidate)])
    checks, notes = compare(now, before, max_drop=max_drop)
    reasons = [*(check.message for check in checks), *notes]
    states = {check.state for check in checks}
    if slower is not None:
        was, is_ = value_of(before, "latency_p95"), value_of(now, "latency_p95")
        assert was is not None
        assert is_ is not None
        times = is_ / was if was else 1.0
        reasons.append(f"p95 is {times:.2f} times the current one's ({was:.1f} ms), {slower:g} allowed")
        states.add("marginal" if times > slower else "pass")
    state: Literal["pass", "marginal", "fail"] = (
        "fail" if "fail" in states else "marginal" if "marginal" in states else "pass"
    )
    return Verdict(state=state, reasons=tuple(reasons), current=before, candidate=now)
