"""The command line as its users meet it before there is a database: help, usage errors, streams, exit codes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from rag_pgvector.answer import FailureMode
from rag_pgvector.answer.shown import WHY_NO_ANSWER
from rag_pgvector.cli import app, output

PROGRAM = str(Path(sys.executable).with_name("rag-pgvector"))
NOBODY = "postgresql://somebody:s3cret@127.0.0.1:1/nothing"
VERBS = ["demo", "ingest", "search", "ask", "doctor"]
VERBS += ["server start", "server status", "server stop", "server url", "db upgrade", "db status", "db sql"]
VERBS += ["db grant", "db convert", "keys create", "keys list", "keys revoke"]
VERBS += ["eval retrieval", "eval answers", "eval history", "eval canary"]
VERBS += [
    "golden add",
    "golden list",
    "golden show",
    "golden verify",
    "golden tag",
    "golden split",
    "golden candidates",
]
VERBS += [
    "import langchain",
    "import llamaindex",
    "import parquet",
    "import json",
    "import nodes",
    "import faiss",
    "import chroma",
    "export",
]
VERBS += ["calibrate", "tune", "tune alpha"]
VERBS += ["index status", "index build", "index rebuild", "index drop"]
VERBS += ["tenants list", "tenants export", "tenants import", "tenants delete", "tenants move"]
HEAVY = {"alembic", "asyncio", "numpy", "pandas", "psycopg", "pydantic", "sqlalchemy", "torch", "transformers"}


def cli(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "RAG_PGVECTOR_DEBUG")}
    return subprocess.run(
        [PROGRAM, *arguments], env=env | environment, capture_output=True, encoding="utf-8", timeout=120, check=False
    )


Here = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def here(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Here:
    """A command line in this process, which is quicker by far than one of its own."""
    for name in ("DATABASE_URL", "RAG_PGVECTOR_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(output, "prepare_streams", lambda: None)  # it changes logging and warnings for good

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        capsys.readouterr()
        code = app.run(arguments)
        return subprocess.CompletedProcess(arguments, code, *capsys.readouterr())

    return call


def assert_one_line(result: subprocess.CompletedProcess[str], code: int, *parts: str) -> None:
    """Refused with that exit code, in one line on stderr that holds these parts and no password."""
    assert result.returncode == code, result.stderr
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("rag-pgvector: ")
    assert "s3cret" not in lines[0]
    for part in parts:
        assert part in lines[0]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(here: Here, verb: str) -> None:
    result = here(*verb.split(), "--help")
    assert (result.returncode, result.stderr) == (0, "")
    assert f"Usage: rag-pgvector {verb} " in result.stdout
    assert "Example: " in result.stdout
    assert "rag-pgvector " + verb in " ".join(result.stdout.split("Example: ")[1].split())
    if verb not in ("db sql", "tenants export"):
        assert "--json" in result.stdout


def test_the_documentation_names_every_verb_and_exit_code() -> None:
    text = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    for verb in VERBS:
        assert f"| `{verb}" in text or f", `{verb}`" in text, verb
    for code in (0, 1, 2, 130, 141):
        assert f"\n| {code} |" in text


def test_without_arguments_it_shows_the_help() -> None:
    result = cli()
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == cli("--help").stdout
    assert all(verb.split()[0] in result.stdout for verb in VERBS)


def test_version_also_as_a_module() -> None:
    module = subprocess.run(
        [sys.executable, "-m", "rag_pgvector", "--version"], capture_output=True, encoding="utf-8", check=True
    )
    assert module.stdout == cli("--version").stdout == f"rag-pgvector {output.version()}\n"


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import json, sys\nfrom rag_pgvector.cli import main\nsys.argv[1:] = ['--help']\n"
        "try:\n    main()\nexcept SystemExit as done:\n    assert done.code == 0\n"
        "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})), file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True)
    imported = set(json.loads(result.stderr))
    assert "rag_pgvector" in imported
    assert not imported & HEAVY


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["nope"], ["'nope'", "rag-pgvector --help"]),
        (["db"], ["db --help"]),
        (["db", "nope"], ["'nope'", "rag-pgvector db --help"]),
        (["search", "--bogus"], ["--bogus", "rag-pgvector search --help"]),
        (["search", "question"], ["--collection"]),
        (["ask", "--collection", "docs"], ["QUESTION"]),
        (["ingest", "--collection", "docs"], ["PATH"]),
        (["search", "q", "-c", "docs", "-k", "0"], ["-k", "'0'", "whole number from 1"]),
        (["ask", "q", "-c", "docs", "-k", "many"], ["-k", "'many'", "whole number from 1"]),
        (["ask", "q", "-c", "docs", "-k", "99999999999999999999"], ["-k", "whole number from 1"]),
        (["ask", "q", "-c", "docs", "--threshold", "1.5"], ["--threshold", "'1.5'", "0 to 1"]),
        (["ask", "q", "-c", "docs", "--threshold", "nan"], ["--threshold", "'nan'", "0 to 1"]),
        (["db", "sql", "--distance", "manhattan"], ["'manhattan'", "'cosine'"]),
        (["db", "sql", "-c", "docs", "--dimensions", "4001"], ["4001", "4000"]),
        (["db", "sql", "-c", "n" * 64], ["64 bytes", "63"]),
        (["db", "sql", "--grant-to", " "], ["--grant-to"]),
        (["search", "q", "-c", "é" * 32, "--url", NOBODY], ["64 bytes", "63"]),
        (["search", "q", "-c", "", "--url", NOBODY], ["collection name ''"]),
        (["search", "q", "-c", "docs", "--url", NOBODY, "--filter", "{year"], ["'{year'", "not JSON"]),
        (["search", "q", "-c", "docs", "--url", NOBODY, "--filter", "[1]"], ["'[1]'", "not a JSON object"]),
        (["search", "q", "-c", "docs", "--url", NOBODY, "--filter", '{"year": NaN}'], ["NaN"]),
        (["search", "q", "-c", "docs", "--url", NOBODY, "--filter", "[" * 100_000], ["not JSON"]),
        (
            ["ask", "q", "-c", "docs", "--url", NOBODY, "--filter", '{"year": {"$near": 1}}'],
            ["year", "'$near'", "$gte"],
        ),
        (["search", "q", "-c", "docs", "--url", ""], ["--url is empty"]),
        (["search", "q", "-c", "docs", "--url", "mysql://u:s3cret@h/d"], ["'mysql://'", "postgresql://"]),
        (["db", "status", "--url", "postgresql://u:s3cret word@h:p/d"], ["database URL", "%XX"]),
        (["db", "status", "--url", "host=h password=s3cret nonsense"], ["database URL"]),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else None,
)
def test_wrong_usage_is_one_line_and_exit_code_2(here: Here, arguments: list[str], parts: list[str]) -> None:
    assert_one_line(here(*arguments), 2, *parts)


@pytest.mark.parametrize(
    "arguments",
    [
        ["search", "q", "-c", "docs"],
        ["ask", "q", "-c", "docs", "--json"],
        ["ingest", __file__, "-c", "docs"],
        ["demo", "--json"],
        ["db", "upgrade"],
        ["db", "status", "--json"],
        ["doctor", "--json"],
    ],
    ids=lambda value: value[0],
)
def test_no_server_is_one_line_and_exit_code_1(arguments: list[str]) -> None:
    assert_one_line(cli(*arguments, "--url", NOBODY), 1, "127.0.0.1:1/nothing", "refused")


def test_the_database_url_of_the_environment_is_used() -> None:
    assert_one_line(cli("db", "status", DATABASE_URL=NOBODY), 1, "127.0.0.1:1/nothing", "refused")


def test_a_missing_path_is_told_before_anything_is_connected(tmp_path: Path) -> None:
    missing = tmp_path / "none.csv"
    assert_one_line(cli("ingest", str(missing), "-c", "docs", "--url", NOBODY), 1, str(missing), "no such file")


def test_debug_shows_the_traceback() -> None:
    result = cli("db", "status", "--url", NOBODY, RAG_PGVECTOR_DEBUG="1")
    assert result.returncode == 1
    assert "Traceback" in result.stderr
    assert "ConnectionFailedError" in result.stderr


def test_an_unexpected_error_is_one_line_without_the_password(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import rag_pgvector.migrations as m\n"
        "def broken(): raise KeyError('postgresql://u:s3cret@h/d\\nand password=s3cret')\n"
        "m.offline_sql = broken\n",
        encoding="utf-8",
    )
    result = cli("db", "sql", PYTHONPATH=str(tmp_path))
    assert_one_line(result, 1, "KeyError", "u:***@h/d", "password=***", "RAG_PGVECTOR_DEBUG=1")


def test_a_reader_that_goes_away_is_no_error() -> None:
    process = subprocess.Popen([PROGRAM, "db", "sql"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert (process.stderr.read(), process.wait(60)) == ("", 141)
    process.stderr.close()


def test_a_full_disk_is_one_line() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with open("/dev/full", "w", encoding="utf-8") as full:
        result = subprocess.run(
            [PROGRAM, "db", "sql"], stdout=full, stderr=subprocess.PIPE, encoding="utf-8", timeout=60, check=False
        )
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert "No space left" in result.stderr


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_is_quiet(sent: signal.Signals, code: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://u:s3cret@127.0.0.1:{silent.getsockname()[1]}/d"
        process = subprocess.Popen(
            [PROGRAM, "db", "status", "--url", url],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            # What a shell starts in the background ignores SIGINT, and so do its children, this test among them.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        silent.settimeout(60)
        connection, _ = silent.accept()
        connection.settimeout(60)
        connection.recv(8)  # now it waits for our answer
        process.send_signal(sent)
        printed = process.communicate(timeout=60)
        connection.close()
    assert (process.returncode, printed) == (code, ("", ""))


def test_other_encodings_of_stdout() -> None:
    result = subprocess.run(
        [PROGRAM, "db", "sql", "-c", "ジャカルタ"],
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        encoding="ascii",
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "chunks_\\u30b8" in result.stdout


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("at postgresql://u:s3cret@h/d", "at postgresql://u:***@h/d"),
        ("at postgresql://u:s3@cret@h/d", "at postgresql://u:***@h/d"),
        ("at host=h password='s3 cret' dbname=d", "at host=h password=*** dbname=d"),
        ("at postgresql://h/d?password=s3cret&x=1", "at postgresql://h/d?password=***&x=1"),
        ("use postgresql://user:password@host:5432/name", "use postgresql://user:password@host:5432/name"),
        ("two\nlines\tand \x1b[31mred", "two lines and \N{REPLACEMENT CHARACTER}[31mred"),
    ],
)
def test_complaints_are_one_line_without_passwords(
    message: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output.complain(message)
    assert capsys.readouterr().err == f"rag-pgvector: {expected}\n"


def test_text_of_documents_cannot_steer_the_terminal() -> None:
    assert output.printable("a\x1b]0;title\x07b\r\u202ec\n\td") == "a\ufffd]0;title\ufffdb\ufffd\ufffdc\n\td"
    assert output.printable("नमस्ते 👩‍👩‍👧") == "नमस्ते 👩‍👩‍👧"  # joiners are text


def test_every_failure_mode_has_words() -> None:
    assert set(WHY_NO_ANSWER) == set(get_args(FailureMode))
