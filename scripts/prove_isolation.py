"""Shows that the isolation tests bite: green as things are, and red with any one defence taken away.

    .venv/bin/python scripts/prove_isolation.py [--json] [MUTANT ...]

The mutants are in tests/isolation/mutants.py; each runs in a process of its own, against the installed package and its
own DDL. Prints a table; exits 1 if the suite is not green, or the test that guards a defence stays green without it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests" / "isolation"
#: Every defence has its test among the locks; random operations are added to show what they alone would notice.
OF_A_MUTANT = [
    TESTS / "test_locks.py",
    TESTS / "test_keyword_locks.py",
    f"{TESTS / 'test_stateful.py'}::test_random_operations_show_nobody_elses_rows",
]


@contextmanager
def server() -> Iterator[str]:
    """RAG_PGVECTOR_TEST_DSN, or one embedded server for all runs."""
    if dsn := os.environ.get("RAG_PGVECTOR_TEST_DSN"):
        yield dsn
        return
    from rag_pgvector import embedded

    with tempfile.TemporaryDirectory(prefix="rag_pgvector_proof_") as folder:
        home = Path(folder)
        home.chmod(0o755)
        try:
            url = embedded.start(home=home).url
            with psycopg.connect(url, autocommit=True) as admin:  # as tests/conftest.py does
                for setting in ("fsync", "synchronous_commit", "full_page_writes"):
                    admin.execute(sql.SQL("ALTER SYSTEM SET {} = off").format(sql.Identifier(setting)))
                admin.execute("SELECT pg_reload_conf()")
            yield url
        finally:
            embedded.stop(home=home)


def run(dsn: str, tests: list[Any], mutant: str = "") -> dict[str, Any]:
    """Run tests and return how many there were and which failed."""
    environment = {name: value for name, value in os.environ.items() if name != "RAG_PGVECTOR_LONG"}
    environment |= {"RAG_PGVECTOR_TEST_DSN": dsn, "RAG_PGVECTOR_MUTANT": mutant}
    if mutant:
        environment["RAG_PGVECTOR_OPERATIONS"] = "100"
    with tempfile.NamedTemporaryFile(suffix=".xml") as report:
        options = ["-q", "-p", "no:randomly", "--tb=no", f"--junit-xml={report.name}"]
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *map(str, tests)],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in (0, 1):
            raise SystemExit(f"pytest could not run {mutant or 'the suite'}:\n{done.stdout}\n{done.stderr}")
        cases = list(ElementTree.parse(report.name).iter("testcase"))
    failed = [
        case.attrib["name"] for case in cases if case.find("failure") is not None or case.find("error") is not None
    ]
    skipped = sum(case.find("skipped") is not None for case in cases)
    return {"tests": len(cases), "failed": failed, "skipped": skipped, "seconds": round(time.monotonic() - started, 1)}


def main() -> int:
    sys.path.insert(0, str(ROOT))
    from tests.isolation.mutants import MUTANTS

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("mutants", nargs="*", metavar="MUTANT", help=f"of: {', '.join(MUTANTS)} (default: all)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    if unknown := set(options.mutants) - MUTANTS.keys():
        parser.error(f"no such mutant: {', '.join(sorted(unknown))}")
    proven = True
    report: dict[str, Any] = {"mutants": {}}
    with server() as dsn:
        report["unmutated"] = unmutated = run(dsn, [TESTS])
        proven &= not unmutated["failed"]
        for name in options.mutants or MUTANTS:
            found = run(dsn, OF_A_MUTANT, name)
            test = MUTANTS[name].test
            red = any(each.split("[")[0] == test for each in found["failed"])
            report["mutants"][name] = found | {"removed": MUTANTS[name].removed, "test": test, "red": red}
            proven &= red
    print(json.dumps(report, indent=2)) if options.json else _print(report)
    return 0 if proven else 1


def _print(report: dict[str, Any]) -> None:
    unmutated = report["unmutated"]
    state = "red: " + ", ".join(unmutated["failed"]) if unmutated["failed"] else "green"
    table = Table(title=f"unmutated: {unmutated['tests']} tests, {unmutated['skipped']} skipped, {state}")
    for heading in ("defence removed", "test that guards it", "goes red", "red in all", "random operations"):
        table.add_column(heading)
    for found in report["mutants"].values():
        machine = any(each.startswith("test_random") for each in found["failed"])
        table.add_row(
            found["removed"],
            found["test"],
            "yes" if found["red"] else "NO",
            f"{len(found['failed'])} of {found['tests']}",
            "red" if machine else "green: the other lock holds",
        )
    Console(width=160).print(table)


if __name__ == "__main__":
    sys.exit(main())
