"""The gate as a pytest fixture. In conftest.py: ``pytest_plugins = ["rag_pgvector.evals.pytest_plugin"]``.

    def test_search_is_as_good_as_ever(golden_gate, docs):
        golden_gate(docs, "data/scifact", baseline="baselines/scifact.json", max_drop={"nDCG@10": 0.01})

``pytest --golden-update`` writes the baselines instead of comparing with them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

__all__ = ["golden_gate", "pytest_addoption", "pytest_terminal_summary"]

_RESULTS = pytest.StashKey[list[tuple[str, Mapping[str, Any]]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("rag-pgvector")
    group.addoption(
        "--golden-update", action="store_true", help="write the baselines of golden_gate instead of comparing with them"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_RESULTS] = []


@pytest.fixture
def golden_gate(request: pytest.FixtureRequest) -> Callable[..., Mapping[str, Any]]:
    """``golden_gate(system, golden, ...)`` measures a system and fails the test on a regression; returns the run.

    Args of the function:
        system: A collection, or whatever ``evals.retrieval.evaluate`` or ``evals.answers.evaluate_answers`` takes.
        golden: The golden set's path. A BEIR folder is for retrieval, anything else for answers, unless ``kind`` says.
        kind: "retrieval" or "answers".
        metrics: For retrieval; default nDCG, R, P, RR, Success at 10 and AP.
        k: How deep to search; 10.
        by: What the judgements call a document.
        fail_under, max_drop: As ``evals.gate.check_run``.
        baseline: The file of an earlier run. Without the file the test fails, unless ``--golden-update`` is given.
    """
    config = request.config

    def gate(
        system: Any,
        golden: str | Path,
        *,
        kind: str | None = None,
        metrics: Sequence[str] | None = None,
        k: int = 10,
        by: Any = "id",
        fail_under: Mapping[str, float] | None = None,
        max_drop: Mapping[str, float] | None = None,
        baseline: str | Path | None = None,
    ) -> Mapping[str, Any]:
        from rag_pgvector.evals.gate import check_run, worse_lines
        from rag_pgvector.evals.runs import read_run, write_run

        run = _run(system, Path(golden), kind, metrics, k, by)
        config.stash[_RESULTS].append((request.node.nodeid, run))
        before = None
        if baseline is not None:
            if config.getoption("--golden-update"):
                Path(baseline).parent.mkdir(parents=True, exist_ok=True)
                write_run(Path(baseline), run)
                pytest.skip(f"wrote the baseline {baseline}")
            if not Path(baseline).is_file():
                pytest.fail(f"no baseline {baseline}: write it with --golden-update, look at it, commit it")
            before = read_run(Path(baseline))
        found = check_run(run, fail_under=fail_under, baseline=before, max_drop=max_drop if before else None)
        bad = [check for check in found.checks if check.state == "fail"]
        if bad:
            lines = [
                line for check in bad for line in (check.message, *(f"  {each}" for each in worse_lines(check)[:10]))
            ]
            pytest.fail("\n".join(lines), pytrace=False)
        return run

    return gate


def _run(
    system: Any, golden: Path, kind: str | None, metrics: Sequence[str] | None, k: int, by: Any
) -> Mapping[str, Any]:
    from rag_pgvector.evals.answers import evaluate_answers
    from rag_pgvector.evals.formats import read_beir
    from rag_pgvector.evals.question_formats import read_questions
    from rag_pgvector.evals.retrieval import default_metrics, evaluate
    from rag_pgvector.evals.runs import answers_run, retrieval_run

    if (kind or ("retrieval" if golden.is_dir() else "answers")) == "retrieval":
        judged = read_beir(golden)
        return retrieval_run(judged, evaluate(system, judged, metrics=metrics or default_metrics(k), k=k, by=by), k=k)
    asked = read_questions(golden)
    return answers_run(asked.name, asked.questions, evaluate_answers(system, asked))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The metrics of every golden_gate, whether it passed or not."""
    results = config.stash[_RESULTS]
    if not results:
        return
    terminalreporter.section("golden sets")
    for node, run in results:
        values = ", ".join(f"{name} {value:.4f}" for name, value in run["metrics"].items() if value is not None)
        terminalreporter.write_line(f"{node} ({run['queries']} questions): {values}")
