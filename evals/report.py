"""A run as one HTML file that needs nothing else: tables, plots, and the questions that went worst.

Whatever stands in it comes escaped: questions, answers and passages are data, never markup. The same run gives the same
bytes.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag_pgvector.evals import charts

if TYPE_CHECKING:
    from rag_pgvector.evals.gate import Gate

__all__ = ["report_html", "write_report"]

_STYLE = """
:root{color-scheme:light dark;
--ink:#1d2733;--soft:#5b6877;--line:#d9dfe6;--paper:#fff;--mark:#ffe9a8;
--good:#1b7f4b;--bad:#b3261e;
--s0:#2463a6;--s1:#c4571a;--s2:#2f8a57;--s3:#7b4bb3;--s4:#a88512;--s5:#5b6877}
@media(prefers-color-scheme:dark){:root{--ink:#e3e8ee;--soft:#9aa7b5;--line:#36414d;--paper:#14191f;
--mark:#5a4a12;--good:#5ccf94;
--bad:#ff8a80;--s0:#6fa8e8;--s1:#f09a66;--s2:#6fcf97;--s3:#b897e6;--s4:#e0bf4e}
}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:980px;
margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin:0}
h2{font-size:1.1rem;margin:2.2rem 0 .6rem;border-bottom:1px solid var(--line)}
p.about{color:var(--soft);margin:.2rem 0 0}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:.2rem .8rem .2rem 0;text-align:right;white-space:nowrap}
th{color:var(--soft);font-weight:500;border-bottom:1px solid var(--line)}
th:first-child,td:first-child{text-align:left}
td.text{text-align:left;white-space:normal;min-width:22rem}
figure{display:inline-block;margin:0 1.5rem 1rem 0;vertical-align:top}
figcaption{color:var(--soft);font-size:.9rem;max-width:420px}
svg text{fill:var(--soft);font-size:11px}
svg .grid{stroke:var(--line)}
svg .ideal{stroke:var(--soft);stroke-dasharray:4 4}
svg .whisker{stroke:var(--ink);fill:none}
SERIES
details{border-top:1px solid var(--line);padding:.5rem 0}
summary{cursor:pointer}
summary b{font-weight:600}
.passage{margin:.4rem 0 .4rem 1rem;padding-left:.8rem;border-left:3px solid var(--line);white-space:pre-wrap;
overflow-wrap:anywhere}
.place{color:var(--soft);font-size:.85rem}
.good{color:var(--good)}
.bad{color:var(--bad)}
mark{background:var(--mark);color:inherit}
"""
_STYLE = _STYLE.replace(
    "SERIES",
    "".join(
        f"svg polyline.s{i}{{stroke:var(--s{i})}}svg circle.s{i},svg rect.s{i}{{fill:var(--s{i})}}" for i in range(6)
    ),
)
_WORD = re.compile(r"\w{3,}")
_MOST_QUESTIONS = 20


def write_report(path: Path, run: Mapping[str, Any], gate: Gate | None = None) -> None:
    """Write the report of a run."""
    path.write_text(report_html(run, gate), encoding="utf-8", newline="\n")


def report_html(run: Mapping[str, Any], gate: Gate | None = None) -> str:
    """The report of a run (``runs.retrieval_run``, ``runs.answers_run``) as HTML."""
    title = f"{run['dataset']}: {run['kind']}"
    parts = [
        "<!doctype html>\n",
        f'<html lang="en"><head><meta charset="utf-8"><title>{_e(title)}</title>',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<style>{_STYLE}</style></head><body>\n<h1>{_e(title)}</h1>\n",
        f'<p class="about">{_e(_about(run))}</p>\n',
        _gate(gate),
        "<h2>Metrics</h2>\n",
        _metrics(run),
        _slices(run),
        _confusion(run),
        _confidence(run),
        _judged(run),
        _curve(run),
        _questions(run),
        "</body></html>\n",
    ]
    return "".join(parts)


def _e(text: Any) -> str:
    return html.escape(str(text))


def _number(value: Any) -> str:
    return "" if value is None else f"{value:.4f}" if isinstance(value, float) else f"{value:,}"


def _about(run: Mapping[str, Any]) -> str:
    known = [f"{run['queries']} questions"]
    for key, what in (("documents", "documents"), ("chunks", "chunks")):
        if key in run:
            known.append(f"{run[key]} {what}")
    known += [str(run[key]) for key in ("mode", "model") if run.get(key)]
    if plans := run.get("plans"):
        known.append("plans: " + ", ".join(f"{name} {count}" for name, count in plans.items()))
    if embedding := run.get("embedding"):
        known.append(f"{embedding['texts']} texts embedded")
    if latency := run.get("latency_ms"):
        known.append(f"p50 {latency['p50']:.1f} ms, p95 {latency['p95']:.1f} ms")
    if "version" in run:
        known.append(f"rag-pgvector {run['version']}")
    return " · ".join(known)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    first = "".join(f"<th>{_e(cell)}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(cell if cell.startswith("<td ") else f"<td>{cell}</td>" for cell in row) + "</tr>\n"
        for row in rows
    )
    return f'<div class="scroll"><table><tr>{first}</tr>\n{body}</table></div>\n'


def _gate(gate: Gate | None) -> str:
    if gate is None or not gate.checks:
        return ""
    rows = []
    for check in gate.checks:
        colour = {"pass": "good", "fail": "bad"}.get(check.state, "")
        message = f'<td class="text">{_e(check.message)}</td>'
        rows.append([f'<span class="{colour}">{check.state}</span> {_e(check.name)}', message])
    worse = [
        f"<details><summary>{_e(check.name)}: the questions that lost most</summary>"
        + _table(
            ["question", "before", "now"],
            [
                [f'<td class="text">{_e(id_)} {_e(text)}</td>', f"{old:.3f}", f"{new:.3f}"]
                for id_, text, old, new in check.worse
            ],
        )
        + "</details>\n"
        for check in gate.checks
        if check.worse
    ]
    notes = "".join(f"<p>{_e(note)}</p>\n" for note in gate.notes)
    return "<h2>Checks</h2>\n" + _table(["check", ""], rows) + notes + "".join(worse)


def _metrics(run: Mapping[str, Any]) -> str:
    known = [(name, value) for name, value in run["metrics"].items() if value is not None]
    if not known:
        return "<p>Nothing was measured.</p>\n"
    chart = charts.bars(
        [(name, value, tuple(run["intervals"][name]) if run["intervals"].get(name) else None) for name, value in known]
    )
    rows = [
        [_e(name), _number(value), *(_number(each) for each in run["intervals"][name]), _number(run["measured"][name])]
        for name, value in known
    ]
    missing = [name for name, value in run["metrics"].items() if value is None]
    note = f'<p class="about">Not measured on any question: {_e(", ".join(missing))}.</p>\n' if missing else ""
    return (
        f"<figure>{chart}<figcaption>Means with 95 % bootstrap intervals over the questions.</figcaption></figure>\n"
        + _table(["metric", "mean", "low", "high", "questions"], rows)
        + note
    )


def _slices(run: Mapping[str, Any]) -> str:
    slices = run.get("slices", {})
    if len(slices) < 2:
        return ""
    names = [name for name in run["metrics"] if any(row.get(name) is not None for row in slices.values())]
    rows = [
        [_e(key), _number(row["questions"]), *(_number(row.get(name)) for name in names)] for key, row in slices.items()
    ]
    return "<h2>Slices</h2>\n" + _table(["slice", "questions", *names], rows)


def _confusion(run: Mapping[str, Any]) -> str:
    confusion = run.get("confusion", {})
    if not confusion:
        return ""
    outcomes = sorted(
        {name for counts in confusion.values() for name in counts},
        key=lambda name: (name not in ("right", "wrong"), name),
    )
    rows = [[_e(kind), *(_number(counts.get(name)) for name in outcomes)] for kind, counts in confusion.items()]
    return "<h2>What each kind of question got</h2>\n" + _table(["kind", *outcomes], rows)


def _confidence(run: Mapping[str, Any]) -> str:
    found = run.get("confidence") or {}
    if not found:
        return ""
    names = [name for name in found if isinstance(found[name], (int, float)) and f"{name}_interval" in found]
    rows = []
    for name in names:
        low, high = found.get(f"{name}_interval") or (None, None)
        rows.append([_e(name), _number(found[name]), _number(low), _number(high)])
    rows += [
        [_e(name), _number(found[name]), "", ""]
        for name in ("coverage_at_95", "ece_noise_floor", "base_rate")
        if found.get(name) is not None
    ]
    plots = ""
    if found.get("reliability"):
        plots += (
            f"<figure>{charts.reliability([tuple(each) for each in found['reliability']])}<figcaption>Reliability: a "
            "calibrated confidence lies on the diagonal; a larger circle has more questions.</figcaption></figure>\n"
        )
    if found.get("risk_coverage"):
        curve = charts.lines(
            [("", [(coverage, risk) for coverage, risk in found["risk_coverage"]])],
            x="share of questions answered",
            y="share of these that is wrong",
            x_range=(0.0, 1.0),
            y_range=(0.0, 1.0),
        )
        plots += (
            f"<figure>{curve}<figcaption>Risk against coverage: the surest questions first.</figcaption></figure>\n"
        )
    return f"<h2>Confidence</h2>\n{plots}" + _table(["measure", "value", "low", "high"], rows)


def _judged(run: Mapping[str, Any]) -> str:
    """What a language model said of the answers, with its name: apart from what was computed."""
    found = run.get("judged")
    if not found:
        return ""
    rows = [
        [
            _e(name),
            _number(value),
            *(_number(each) for each in found["intervals"].get(name) or (None, None)),
            _number(found["measured"][name]),
            _number(found["unmeasured"][name]),
        ]
        for name, value in found["metrics"].items()
    ]
    reasons = ", ".join(f"{reason} ({count})" for reason, count in found["reasons"].items())
    about = (
        f"Judge: {found['judge']}, prompts {found['prompts_sha256'][:12]}. An opinion, in no other figure of this page."
    )
    note = f'<p class="about">No verdict: {_e(reasons)}.</p>\n' if reasons else ""
    return (
        f'<h2>Judged by a language model</h2>\n<p class="about">{_e(about)}</p>\n'
        + _table(["metric", "mean", "low", "high", "verdicts", "no verdict"], rows)
        + note
    )


def _curve(run: Mapping[str, Any]) -> str:
    """Recall against latency, where a run brings such points along (``tune``-like sweeps)."""
    points = run.get("recall_latency") or []
    if not points:
        return ""
    series: dict[str, list[tuple[float, float]]] = {}
    for each in points:
        series.setdefault(str(each.get("name", "")), []).append((float(each["ms"]), float(each["recall"])))
    # The points of a series are in the order of their setting: time goes up and down with the machine.
    low = min(recall for found in series.values() for _, recall in found)
    chart = charts.lines(
        list(series.items()), x="ms, p50", y="recall", y_range=(max(0.0, 1.1 * low - 0.1), 1.0), marks=True
    )
    rows = [
        [_e(each.get("name", "")), _number(each.get("ef_search")), _number(each["recall"]), _number(each["ms"])]
        for each in points
    ]
    return f"<h2>Recall against latency</h2>\n<figure>{chart}</figure>\n" + _table(
        ["search", "ef_search", "recall", "ms, p50"], rows
    )


# ----------------------------------------------------------------------------------------------------------- questions


def _questions(run: Mapping[str, Any]) -> str:
    found = run.get("questions") or []
    if not found:
        return ""
    if run["kind"] == "answers":
        order = {"wrong": 0}
        worst = [each for each in found if each["outcome"] != "right" and not _abstained_right(each)]
        worst.sort(key=lambda each: (order.get(each["outcome"], 1), -(each["confidence"] or 0.0), each["id"]))
        return "<h2>The worst questions</h2>\n" + "".join(_answered(each) for each in worst[:_MOST_QUESTIONS])
    first = next(iter(run["metrics"]))
    worst = sorted((each for each in found if "passages" in each), key=lambda each: (each["values"][first], each["id"]))
    return "<h2>The worst questions</h2>\n" + "".join(_searched(each, first) for each in worst[:_MOST_QUESTIONS])


def _abstained_right(question: Mapping[str, Any]) -> bool:
    return question["expected"] is None and question["answer"] is None


def _answered(question: Mapping[str, Any]) -> str:
    sure = "" if question["confidence"] is None else f", confidence {question['confidence']:.2f}"
    colour = "bad" if question["outcome"] == "wrong" else "place"
    expected = question["expected"] or "no answer"
    lines = [f'<div class="place">expected: {_e(expected)}{_e(_placed(question))}</div>\n']
    if question["answer"] is not None:
        lines.append(f'<div class="passage">{_marked(question["answer"], [expected])}</div>\n')
    if question.get("withheld"):
        lines.append(f'<div class="place">withheld:</div><div class="passage">{_e(question["withheld"])}</div>\n')
    lines += [
        f'<div class="place">{_e(citation["place"])}</div>'
        f'<div class="passage">{_marked(citation["snippet"], [expected, question["answer"] or ""])}</div>\n'
        for citation in question["citations"]
    ]
    return (
        f'<details><summary><span class="{colour}">{_e(question["outcome"])}{sure}</span> '
        f"<b>{_e(question['question'])}</b></summary>\n{''.join(lines)}</details>\n"
    )


def _placed(question: Mapping[str, Any]) -> str:
    return f" ({question['place']})" if question.get("place") else ""


def _searched(question: Mapping[str, Any], metric: str) -> str:
    words = _WORD.findall(question["question"])
    lines = []
    for passage in question["passages"]:
        colour, what = ("good", "relevant") if passage["relevance"] > 0 else ("place", "not relevant")
        lines.append(
            f'<div class="place"><span class="{colour}">{passage["rank"]}. {what}</span> {_e(passage["id"])}</div>'
            f'<div class="passage">{_marked(passage["text"], words)}</div>\n'
        )
    for passage in question["missed"]:
        where = "not found" if passage["rank"] is None else f"found at {passage['rank']}"
        lines.append(
            f'<div class="place"><span class="bad">relevant, {where}</span> {_e(passage["id"])}</div>'
            f'<div class="passage">{_marked(passage["text"], words)}</div>\n'
        )
    return (
        f'<details><summary><span class="place">{_e(metric)} {question["values"][metric]:.3f}</span> '
        f"<b>{_e(question['question'])}</b></summary>\n{''.join(lines)}</details>\n"
    )


def _marked(text: str, wanted: Sequence[str]) -> str:
    """The text escaped, with every wanted word or phrase highlighted."""
    phrases = sorted({each for each in wanted if each.strip()}, key=len, reverse=True)
    if not phrases:
        return _e(text)
    pattern = re.compile("|".join(rf"(?<!\w){re.escape(each)}(?!\w)" for each in phrases), re.IGNORECASE)
    parts, end = [], 0
    for match in pattern.finditer(text):
        parts.append(_e(text[end : match.start()]) + f"<mark>{_e(match[0])}</mark>")
        end = match.end()
    return "".join(parts) + _e(text[end:])
