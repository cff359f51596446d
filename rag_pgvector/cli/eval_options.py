"""What the verbs of ``eval`` share: their options, the golden set that a path or tag names, and what follows a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rag_pgvector.cli.options import whole_number
from rag_pgvector.cli.output import complain, say, say_json
from rag_pgvector.errors import ConfigError

if TYPE_CHECKING:
    from rag_pgvector.evals.gate import Gate
    from rag_pgvector.evals.judged import Judge
    from rag_pgvector.evals.openai_protocol import OpenAIProtocol

__all__ = [
    "After",
    "Baseline",
    "FailUnder",
    "GoldenStore",
    "Html",
    "JudgeModel",
    "JudgeUrl",
    "Junit",
    "Label",
    "Limit",
    "MaxDrop",
    "Output",
    "Save",
    "Strict",
    "conclude",
    "golden_path",
    "judge_of",
    "model_at",
    "say_judged",
    "say_slices",
    "say_table",
]

Output = Annotated[
    Path | None,
    typer.Option(
        "--output", metavar="FILE", help="Write the whole run, every question in it, as JSON.", show_default=False
    ),
]
Html = Annotated[
    Path | None,
    typer.Option("--html", metavar="FILE", help="Write a report that needs no network.", show_default=False),
]
Baseline = Annotated[
    Path | None,
    typer.Option("--baseline", metavar="FILE", help="Compare with an earlier --output.", show_default=False),
]
FailUnder = Annotated[
    list[str] | None,
    typer.Option(
        "--fail-under", metavar="METRIC=X", help="Exit 1 if a metric is below; may be repeated.", show_default=False
    ),
]
MaxDrop = Annotated[
    list[str] | None,
    typer.Option(
        "--max-drop",
        metavar="METRIC=X",
        help="Exit 1 if a metric falls further below the baseline, and chance does not explain it; may be repeated.",
        show_default=False,
    ),
]
Junit = Annotated[
    Path | None, typer.Option("--junit", metavar="FILE", help="Write the checks as JUnit XML.", show_default=False)
]
Strict = Annotated[bool, typer.Option("--strict", help="A drop that may be chance fails, too.")]
Save = Annotated[bool, typer.Option("--save", help="Keep the run in the database, for 'eval history'.")]
Label = Annotated[
    str, typer.Option("--label", metavar="TEXT", help="Say what was measured: a commit, a setting.", show_default=False)
]
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit", metavar="N", parser=whole_number, help="Ask N questions, drawn at random; the same ones each time."
    ),
]
JudgeModel = Annotated[
    str | None,
    typer.Option(
        "--judge-model", metavar="NAME", help="Have a language model judge the answers, too.", show_default=False
    ),
]
JudgeUrl = Annotated[
    str | None,
    typer.Option(
        "--judge-url",
        metavar="URL",
        help="Where it is: the base of an API of OpenAI's kind, http://localhost:8000/v1. Its key: OPENAI_API_KEY.",
        show_default=False,
    ),
]
GoldenStore = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="PLACE",
        help="The golden store: a folder or a URL (s3://...).  [default: RAG_GOLDEN_STORE, ./golden]",
        show_default=False,
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class After:
    """What is asked for after a run."""

    output: Path | None = None
    html: Path | None = None
    baseline: Path | None = None
    fail_under: Sequence[str] = ()
    max_drop: Sequence[str] = ()
    junit: Path | None = None
    strict: bool = False
    save: bool = False
    label: str = ""

    def check(self) -> None:
        """Raise what can be known before anything is measured: ConfigError, LoadError."""
        from rag_pgvector.evals.gate import read_limits
        from rag_pgvector.evals.runs import read_run

        read_limits(self.fail_under, "--fail-under")
        read_limits(self.max_drop, "--max-drop")
        if self.baseline is not None:
            read_run(self.baseline)
        elif self.max_drop:
            raise ConfigError("--max-drop needs a baseline to drop from: add --baseline FILE")
        for path in (self.output, self.html, self.junit):
            if path is not None and not path.resolve().parent.is_dir():
                raise ConfigError(f"{path}: no folder {path.resolve().parent} to write it to")


def conclude(run: Mapping[str, Any], after: After, *, as_json: bool, keep: Callable[..., Any] | None = None) -> None:
    """Write, check, keep and print a run. Raises typer.Exit(1) on a regression.

    ``keep`` is called with the run's verdict and reasons where the run is to be saved.
    """
    from rag_pgvector.evals.gate import check_run, junit, read_limits
    from rag_pgvector.evals.runs import compact, read_run, write_run

    gate = check_run(
        run,
        fail_under=read_limits(after.fail_under, "--fail-under"),
        baseline=None if after.baseline is None else read_run(after.baseline),
        max_drop=read_limits(after.max_drop, "--max-drop"),
    )
    if after.output is not None:
        write_run(after.output, run)
    if after.html is not None:
        from rag_pgvector.evals.report import write_report

        write_report(after.html, run, gate)
    if after.junit is not None:
        after.junit.write_text(junit(gate, str(run["dataset"]), strict=after.strict), encoding="utf-8")
    if after.save and keep is not None:
        reasons = [check.message for check in gate.checks if check.state != "pass"]
        keep(run, label=after.label, verdict=gate.state if gate.checks else None, reasons=reasons)
    if as_json:
        say_json(compact(run) | ({"gate": _gate(gate)} if gate.checks else {}))
    else:
        _say_gate(gate)
    if gate.state == "fail" or (after.strict and gate.state == "marginal"):
        if as_json:
            for check in gate.checks:
                if check.state != "pass":
                    complain(check.message)
        raise typer.Exit(1)


def _gate(gate: Gate) -> dict[str, Any]:
    from dataclasses import asdict

    return {"state": gate.state, "checks": [asdict(check) for check in gate.checks], "notes": list(gate.notes)}


def _say_gate(gate: Gate) -> None:
    from rag_pgvector.evals.gate import worse_lines

    for note in gate.notes:
        complain(f"note: {note}")
    for check in gate.checks:
        say(f"{check.state:8} {check.message}", style="" if check.state == "pass" else "bold")
        if check.state != "pass":
            for line in worse_lines(check)[:10]:
                say(f"         {line}")


def say_table(run: Mapping[str, Any]) -> None:
    """The metrics of a run that were measured, one a line."""
    for name, value in run["metrics"].items():
        if value is None:
            continue
        low, high = run["intervals"][name]
        say(f"{name:26} {value:.4f}  ({low:.4f} to {high:.4f})  {run['measured'][name]} questions")


def say_slices(run: Mapping[str, Any], names: Sequence[str]) -> None:
    """Some metrics for each slice."""
    if len(run["slices"]) < 2:
        return
    shown = [name for name in names if any(row.get(name) is not None for row in run["slices"].values())]
    width = max(len(key) for key in run["slices"])
    say()
    say(f"{'':{width}}  questions  " + "  ".join(f"{name:>18}" for name in shown))
    for key, row in run["slices"].items():
        cells = "  ".join(f"{'' if row.get(name) is None else format(row[name], '.4f'):>18}" for name in shown)
        say(f"{key:{width}}  {row['questions']:9}  {cells}")


def model_at(model: str | None, url: str | None, options: str) -> OpenAIProtocol | None:
    """The language model that was asked for. Raises ConfigError where only half of it was said."""
    if model is None and url is None:
        return None
    if model is None or url is None:
        raise ConfigError(f"a language model has a name and a place: give both {options}")
    from rag_pgvector.evals.openai_protocol import OpenAIProtocol
    from rag_pgvector.settings import load_settings

    return OpenAIProtocol(url, model, api_key=load_settings().openai_api_key)


def judge_of(model: str | None, url: str | None) -> Judge | None:
    """The judge that was asked for. Raises ConfigError where only half of it was said."""
    llm = model_at(model, url, "--judge-model NAME and --judge-url URL")
    if llm is None:
        return None
    from rag_pgvector.evals.judged import Judge

    return Judge(llm)


def say_judged(run: Mapping[str, Any]) -> None:
    """What a language model said of the answers, apart from what was computed."""
    found = run.get("judged")
    if not found:
        return
    say()
    say(f"judged by {found['judge']}, prompts {found['prompts_sha256'][:12]}:")
    for name, value in found["metrics"].items():
        missing = f", {found['unmeasured'][name]} without a verdict" if found["unmeasured"][name] else ""
        shown = "" if value is None else f"{value:.4f}"
        say(f"{name:26} {shown}  {found['measured'][name]} answers{missing}")
    for reason, count in found["reasons"].items():
        complain(f"no verdict: {reason} ({count})")


def golden_path(text: str, store: str | None) -> Path:
    """The path itself, or what a name or ``name:tag`` stands for in the golden store. Raises ConfigError, LoadError."""
    path = Path(text)
    if path.exists():
        return path
    from rag_pgvector.evals.golden_store import GoldenStore as Stored
    from rag_pgvector.evals.golden_store import is_reference

    if not is_reference(text):
        raise ConfigError(f"{text}: no such file or folder")
    return Stored.open(store).local(text)
