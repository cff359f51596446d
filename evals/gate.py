"""Did it get worse? Limits on a run, and its comparison with a baseline, question by question.

A drop counts as a regression only if it is larger than allowed and larger than chance explains: a paired
randomisation test over the questions (Fisher 1935; Smucker, Allan and Carterette 2007, "A comparison of statistical
significance tests for information retrieval evaluation"), one-sided, corrected for the number of metrics (Holm 1979). A
drop that is larger than allowed and may be chance is *marginal*: more questions are needed to tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from xml.etree import ElementTree

import numpy as np

from rag_pgvector.errors import ConfigError
from rag_pgvector.evals.runs import same_model

__all__ = [
    "LOWER_BETTER",
    "Check",
    "Gate",
    "check_run",
    "compare",
    "holm",
    "junit",
    "randomisation_test",
    "read_limits",
]

#: Metrics where less is better; all others are higher-better.
LOWER_BETTER = frozenset(
    {"false_abstention", "aurc", "e_aurc", "augrc", "brier", "ece", "ece_debiased", "latency_p50", "latency_p95"}
)
ALPHA = 0.05
#: Of the permutations' outcomes, so that p is known to about .002 near .05.
PERMUTATIONS = 10_000

State = Literal["pass", "marginal", "fail"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One limit and what came of it.

    Attributes:
        name: Such as ``nDCG@10 >= 0.7``.
        state: ``fail`` is a regression; ``marginal`` may be chance.
        message: In words.
        metric: Which one.
        value: Of this run; ``None`` where it was not measured.
        baseline: Over the same questions in the baseline, for a comparison.
        p: Chance alone would give such a drop with this probability, Holm-corrected, for a comparison.
        worse: ``(id, question, before, now)`` of the questions that lost most, the worst first.
        counts: How many questions got worse, better, and neither.
    """

    name: str
    state: State
    message: str
    metric: str
    value: float | None
    baseline: float | None = None
    p: float | None = None
    worse: tuple[tuple[str, str, float, float], ...] = field(default=(), repr=False)
    counts: tuple[int, int, int] | None = None


@dataclass(frozen=True, slots=True)
class Gate:
    """All checks of a run."""

    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()

    @property
    def state(self) -> State:
        """The worst of them."""
        states = {check.state for check in self.checks}
        return "fail" if "fail" in states else "marginal" if "marginal" in states else "pass"


# ---------------------------------------------------------------------------------------------------------- statistics


def randomisation_test(differences: Sequence[float], *, permutations: int = PERMUTATIONS, seed: int = 0) -> float:
    """The one-sided p of a mean difference below 0, by flipping the signs of paired differences at random.

    The same differences give the same p. Where there are few that are not 0, every flip is tried instead.
    """
    values = np.asarray(differences, dtype=float)
    values = values[values != 0.0]
    if not len(values):
        return 1.0
    observed = values.sum()
    slack = 1e-12 * np.abs(values).sum()
    if 2 ** min(len(values), 30) <= permutations:
        bits = (np.arange(2 ** len(values))[:, None] >> np.arange(len(values))) & 1
        sums = (values * (1 - 2 * bits)).sum(axis=1)
        return float((sums <= observed + slack).mean())
    draw = np.random.default_rng(seed)
    below = 0
    for start in range(0, permutations, 500):
        signs = draw.integers(0, 2, size=(min(500, permutations - start), len(values)), dtype=np.int8) * 2 - 1
        below += int((signs @ values <= observed + slack).sum())
    return (below + 1) / (permutations + 1)


def holm(p: Sequence[float]) -> list[float]:
    """p-values corrected for their number.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    order = sorted(range(len(p)), key=lambda i: p[i])
    corrected, largest = [0.0] * len(p), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p) - rank) * p[i]))
        corrected[i] = largest
    return corrected


# -------------------------------------------------------------------------------------------------------------- checks


def read_limits(texts: Sequence[str], option: str) -> dict[str, float]:
    """``["nDCG@10=.70"]`` as numbers by metric. Raises ConfigError."""
    found: dict[str, float] = {}
    for text in texts:
        name, sign, number = text.partition("=")
        try:
            value = float(number) if sign and name.strip() else None
        except ValueError:
            value = None
        if value is None or not 0.0 <= value < float("inf"):
            raise ConfigError(f"{option} {text!r:.60}: use METRIC=NUMBER, such as nDCG@10=.70")
        found[name.strip()] = value
    return found


def check_run(
    run: Mapping[str, Any],
    *,
    fail_under: Mapping[str, float] | None = None,
    baseline: Mapping[str, Any] | None = None,
    max_drop: Mapping[str, float] | None = None,
    alpha: float = ALPHA,
) -> Gate:
    """Check a run (``runs.retrieval_run``, ``runs.answers_run``, with its questions).

    Args:
        fail_under: The least value of a metric; the greatest of one that is lower-better.
        baseline: An earlier run over the same golden set, with its questions.
        max_drop: How far the mean of a metric may fall below the baseline's. Without it no metric that both runs have
            may fall by more than chance explains.
        alpha: Of the test.

    Raises ConfigError for a metric that the run does not have, and for a baseline of other questions.
    """
    checks = [_floor(run, metric, limit) for metric, limit in (fail_under or {}).items()]
    notes: tuple[str, ...] = ()
    if baseline is not None:
        compared, notes = compare(run, baseline, max_drop=max_drop, alpha=alpha)
        checks += compared
    elif max_drop:
        raise ConfigError("a largest drop needs a baseline to drop from: add --baseline FILE")
    return Gate(tuple(checks), notes)


def value_of(run: Mapping[str, Any], metric: str) -> float | None:
    """A metric of a run; of its confidence and latency, too. Raises ConfigError."""
    for place in (run.get("metrics", {}), run.get("confidence", {})):
        if metric in place and isinstance(place[metric], (int, float, type(None))):
            value: float | None = place[metric]
            return value
    latency = run.get("latency_ms", {})
    if metric.removeprefix("latency_") in latency:
        return float(latency[metric.removeprefix("latency_")])
    raise ConfigError(f"metric {metric!r:.40} is not in the run: it has {', '.join(run.get('metrics', {}))}")


def _floor(run: Mapping[str, Any], metric: str, limit: float) -> Check:
    value = value_of(run, metric)
    lower = metric in LOWER_BETTER
    name = f"{metric} {'<=' if lower else '>='} {limit:g}"
    if value is None:
        return Check(
            name=name, state="fail", message=f"{metric} was measured on no question", metric=metric, value=None
        )
    good = value <= limit if lower else value >= limit
    message = f"{metric} is {value:.4f}, {'within' if good else 'beyond'} the limit {limit:g}"
    return Check(name=name, state="pass" if good else "fail", message=message, metric=metric, value=value)


def compare(
    run: Mapping[str, Any],
    baseline: Mapping[str, Any],
    *,
    max_drop: Mapping[str, float] | None = None,
    alpha: float = ALPHA,
) -> tuple[list[Check], tuple[str, ...]]:
    """One check per metric against a baseline, over the questions that both measured; and what a reader should know."""
    now, before = _values(run), _values(baseline)
    shared = [id_ for id_ in now if id_ in before]
    if not shared:
        raise ConfigError("the baseline has none of these questions: compare runs over the same golden set")
    notes = []
    if len(shared) < max(len(now), len(before)):
        notes.append(
            f"compared over {len(shared)} shared questions of {len(now)} here and {len(before)} in the baseline"
        )
    if run.get("golden_sha256") != baseline.get("golden_sha256"):
        notes.append("the golden set has changed since the baseline")
    if run.get("model") and baseline.get("model") and not same_model(run, baseline):
        notes.append(f"another model made the vectors: {run['model']}, in the baseline {baseline['model']}")
    limits = dict(max_drop or {})
    names = list(limits) or [name for name in run["metrics"] if name in baseline.get("metrics", {})]
    for name in names:
        value_of(run, name), value_of(baseline, name)
    texts = {each["id"]: each.get("question", "") for each in run["questions"]}
    rows = {name: _pairs(name, shared, now, before) for name in names}
    sign = {name: -1.0 if name in LOWER_BETTER else 1.0 for name in names}
    raw = [randomisation_test([sign[name] * (b - a) for _, a, b in rows[name]]) for name in names]
    checks = []
    for name, p in zip(names, holm(raw), strict=True):
        check = _drop(name, limits.get(name, 0.0), rows[name], sign[name], p, alpha, texts)
        if not limits and check.state == "marginal":  # nobody said how far it may fall: chance is no matter
            check = replace(check, state="pass")
        checks.append(check)
    return checks, tuple(notes)


def _values(run: Mapping[str, Any]) -> dict[str, Mapping[str, float | None]]:
    if not isinstance(run.get("questions"), list):
        raise ConfigError("the run has no questions in it: write it with --output FILE, not with --json")
    return {each["id"]: each["values"] for each in run["questions"]}


def _pairs(
    name: str,
    shared: Sequence[str],
    now: Mapping[str, Mapping[str, float | None]],
    before: Mapping[str, Mapping[str, float | None]],
) -> list[tuple[str, float, float]]:
    """``(id, before, now)`` of the questions where both runs measured the metric."""
    found = []
    for id_ in shared:
        old, new = before[id_].get(name), now[id_].get(name)
        if old is not None and new is not None:
            found.append((id_, float(old), float(new)))
    return found


def _drop(
    name: str,
    limit: float,
    rows: Sequence[tuple[str, float, float]],
    sign: float,
    p: float,
    alpha: float,
    texts: Mapping[str, str],
) -> Check:
    title = f"{name} drops by no more than {limit:g}"
    if not rows:
        return Check(
            name=title, state="fail", message=f"{name}: no question was measured twice", metric=name, value=None
        )
    before = sum(old for _, old, _ in rows) / len(rows)
    now = sum(new for _, _, new in rows) / len(rows)
    drop = sign * (before - now)
    changed = sorted(((sign * (new - old), id_, old, new) for id_, old, new in rows), key=lambda each: each[:2])
    worse = [each for each in changed if each[0] < 0]
    better = sum(each[0] > 0 for each in changed)
    too_far = drop > limit + 1e-12
    state: State = "fail" if too_far and p < alpha else "marginal" if too_far else "pass"
    words = {
        "fail": "a regression",
        "marginal": "more than allowed, but may be chance: ask more questions",
        "pass": "within the limit",
    }
    message = (
        f"{name} went from {before:.4f} to {now:.4f} over {len(rows)} questions ({len(worse)} worse, {better} better; "
        f"p = {p:.4f}): {words[state]}"
    )
    return Check(
        name=title,
        state=state,
        message=message,
        metric=name,
        value=now,
        baseline=before,
        p=p,
        worse=tuple((id_, texts.get(id_, ""), old, new) for _, id_, old, new in worse[:20]),
        counts=(len(worse), better, len(rows) - len(worse) - better),
    )


# -------------------------------------------------------------------------------------------------------------- output


def junit(gate: Gate, name: str, *, strict: bool = False) -> str:
    """The checks as JUnit XML, which every CI reads. ``strict``: what is marginal fails, too."""
    bad = {"fail", "marginal"} if strict else {"fail"}
    suite = ElementTree.Element(
        "testsuite",
        name=f"rag-pgvector eval {name}",
        tests=str(len(gate.checks)),
        failures=str(sum(check.state in bad for check in gate.checks)),
        errors="0",
        skipped="0",
    )
    for check in gate.checks:
        case = ElementTree.SubElement(suite, "testcase", classname=f"eval.{name}", name=check.name)
        if check.state in bad:
            failure = ElementTree.SubElement(case, "failure", message=check.message, type=check.state)
            failure.text = "\n".join(worse_lines(check))
        else:
            ElementTree.SubElement(case, "system-out").text = check.message
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def worse_lines(check: Check) -> list[str]:
    """The questions that got worse, one a line."""
    return [f"{old:.3f} -> {new:.3f}  {id_}  {question}" for id_, question, old, new in check.worse]
