"""Run langchain-postgres's own tests against rag_pgvector.langchain, on an embedded server.

    python scripts/peer_suite.py [v2|v1] [-k EXPRESSION]

The sdist comes from the package index at every run and is never kept. Of its tests this changes the import lines, the
DSN, and the two helpers that look into the database through their engine's ``_pool`` and ``_run_as_async``
(``aexecute``, ``afetch``), which run the same SQL through psycopg; nothing else. Every test's id is printed with its
result. Whatever does not pass counts against the rate: failures, errors and skips. Exit status 1 below 95 %.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

ROOT = Path(__file__).parents[1]
SDIST = "langchain-postgres==0.0.19"
#: What share of all tests must pass; a skipped one counts as failed. v1's suite skips 25 of its 191 by itself, against
#: the peer too (its standard tests do half of the methods for each kind of store), so that nothing could pass more.
LEAST = {"v2": 0.95, "v1": 166 / 191}
SUITES = {
    "v2": ["tests/unit_tests/v2"],
    "v1": ["tests/unit_tests/v1", "tests/unit_tests/query_constructors"],
}

HELPERS = """
from psycopg import AsyncConnection
from psycopg.rows import dict_row

from tests.utils import DSN


async def aexecute(engine, query):
    async with await AsyncConnection.connect(DSN, autocommit=True) as conn:
        await conn.execute(query)


async def afetch(engine, query):
    async with await AsyncConnection.connect(DSN, autocommit=True, row_factory=dict_row) as conn:
        return await (await conn.execute(query)).fetchall()
"""


def fetch(folder: Path) -> Path:
    """The unpacked sdist."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "langchain-postgres"]
    subprocess.run([*command, "--dest", str(folder), SDIST], check=True)
    [archive] = folder.glob("langchain_postgres-*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return next(path for path in folder.iterdir() if path.is_dir())


def repoint(tests: Path) -> None:
    """Imports and helpers; ``tests/utils.py`` takes the DSN from the environment by itself."""
    for path in tests.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        text = re.sub(r"\bfrom langchain_postgres(\.[\w.]+)? import", "from rag_pgvector.langchain import", text)
        text = text.replace("import langchain_postgres\n", "import rag_pgvector.langchain as langchain_postgres\n")
        for name in ("aexecute", "afetch"):
            text, found = re.subn(rf"^async def {name}\(.*?(?=^\S(?<!\)))", "", text, flags=re.DOTALL | re.MULTILINE)
            if found:
                text = text.replace("\n\n", f"\nfrom tests.helpers import {name}\n\n", 1)
        path.write_text(text, encoding="utf-8")
    (tests / "helpers.py").write_text(HELPERS, encoding="utf-8")


def run(project: Path, suite: str, keyword: str | None, url: str) -> dict[str, str]:
    """Outcomes by test id."""
    given = conninfo_to_dict(url)
    variables = {"HOST": "host", "PORT": "port", "USER": "user", "PASSWORD": "password", "DB": "dbname"}
    env = {**os.environ, **{f"POSTGRES_{name}": str(given.get(key) or "") for name, key in variables.items()}}
    env["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(project)])
    report = project / "report.xml"
    places = [place for place in SUITES[suite] if (project / place).exists()]
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "--tb=short", "-p", "no:randomly"]
    command += ["-o", "addopts=", "-o", "xfail_strict=true", f"--junitxml={report}", *places]
    subprocess.run([*command, *(["-k", keyword] if keyword else [])], cwd=project, env=env, check=False)
    outcomes = {}
    for case in ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        bad = [child.tag for child in case if child.tag in ("failure", "error", "skipped")]
        outcomes[name] = {"failure": "FAILED", "error": "ERROR", "skipped": "SKIPPED"}[bad[0]] if bad else "passed"
    return outcomes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", nargs="?", choices=sorted(SUITES), default="v2")
    parser.add_argument("-k", dest="keyword", help="only tests that match (pytest's -k)")
    given = parser.parse_args()
    from rag_pgvector import embedded

    folder = Path(tempfile.mkdtemp(prefix="rag_pgvector_peer_"))
    folder.chmod(0o755)
    try:
        project = fetch(folder)
        repoint(project / "tests")
        server = embedded.start(home=folder / "server")
        try:
            outcomes = run(project, given.suite, given.keyword, server.url)
        finally:
            embedded.stop(home=folder / "server")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for name, outcome in sorted(outcomes.items()):
        print(f"{outcome:8} {name}")
    passed = sum(outcome == "passed" for outcome in outcomes.values())
    skipped = sum(outcome == "SKIPPED" for outcome in outcomes.values())
    rate = passed / len(outcomes) if outcomes else 0.0
    print(f"\n{given.suite}: {passed} of {len(outcomes)} passed, {skipped} skipped")
    print(f"{rate:.1%}; at least {LEAST[given.suite]:.1%} must")
    return 0 if rate >= LEAST[given.suite] else 1


if __name__ == "__main__":
    sys.exit(main())
