"""kill -9 at every exchange with the server during an ingest, then the ingest again: the same chunks as a clean run's.

An exchange is one wait of psycopg: BEGIN, a statement, a block of COPY, COMMIT. The child is killed right before it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag_pgvector import Collection, CollectionConfig, Database
from rag_pgvector.ingest import ingest

LONG = bool(os.environ.get("RAG_PGVECTOR_LONG"))
#: In CI every so manieth exchange; behind `make prove-ingest` each.
STEP = 1 if LONG else 17

#: Forks an ingesting child for every line "exchange collection" that it reads, and tells how it ended.
PROGRAM = """
    import os, signal, sys, threading
    import numpy as np
    import psycopg
    from rag_pgvector import Database, open, settings
    from rag_pgvector.ingest import ingest, loaders, pipeline
    from rag_pgvector.ingest.loaders import csv, text

    pipeline._WINDOW = 8  # two documents a transaction

    url, folder = sys.argv[1:]

    def embed(texts):
        return [np.random.default_rng(list(t.encode())).standard_normal(8) for t in texts]

    for line in sys.stdin:
        last, name = line.split()
        pid = os.fork()
        if pid == 0:
            left, lock, wait = int(last), threading.Lock(), psycopg.Connection.wait

            def counted(self, *args, **kwargs):
                global left
                with lock:
                    left -= 1
                    if left == 0:
                        os.kill(os.getpid(), signal.SIGKILL)
                return wait(self, *args, **kwargs)

            psycopg.Connection.wait = counted
            ingest(Database(url).collection(name, embedder=embed), folder)
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


def embed(texts: list[str]) -> list[Any]:
    return [np.random.default_rng(list(text.encode())).standard_normal(8) for text in texts]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for i in range(48):
        body = "\n\n".join(f"## Part {j}\n\nText {i} {j} of a small corpus." for j in range(6))
        (folder / f"{i:02}.md").write_text(f"# Title {i}\n\n{body}\n")
    (folder / "t.csv").write_text("k,v\n" + "".join(f"row {i},{i}\n" for i in range(60)))
    return folder


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    with Database(database_url) as db:
        yield db


def stored(docs: Collection) -> tuple[list[Any], dict[str, Any]]:
    """Everything that an ingest leaves: the chunks with what their vectors were made of, and the documents."""
    chunks = [
        (chunk.id, chunk.content, chunk.document_id, chunk.char_start, chunk.char_end, chunk.metadata)
        for chunk in docs.list(limit=10_000)
    ]
    documents = {document.id: document for document in docs.documents()}
    hashes = {id_: docs.embedded_hashes(id_) for id_ in documents}
    return chunks, {"documents": documents, "hashes": hashes}


def test_killed_anywhere_and_run_again(db: Database, database_url: str, corpus: Path) -> None:
    config = CollectionConfig(dimensions=8)
    clean = db.collection("clean", config=config, embedder=embed)
    ingest(clean, corpus)
    expected = stored(clean)
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), database_url, str(corpus)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    assert child.stdin is not None
    assert child.stdout is not None
    killed = 0
    exchange = 1
    while True:
        docs = db.collection(f"c{exchange}", config=config, embedder=embed)
        child.stdin.write(f"{exchange} c{exchange}\n")
        child.stdin.flush()
        code = int(child.stdout.readline())
        if code == 0:
            break
        assert code == -9, "the child ended by itself"
        killed += 1
        for document in docs.documents():  # whole documents, each with all of its chunks
            assert len(docs.list(document_id=document.id, limit=1_000)) == document.metadata["chunks"]
        ingest(docs, corpus)
        assert stored(docs) == expected, f"killed before exchange {exchange}"
        docs.drop()
        exchange += STEP
    child.communicate()
    assert killed >= (200 if LONG else 10)
    print(f"killed at {killed} exchanges")
