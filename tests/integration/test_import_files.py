"""Rows of other stores' files, and our own exports: every vector bit for bit, nothing unpickled, nothing embedded."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from rag_pgvector import Chunk, Collection, CollectionConfig, Database
from rag_pgvector.cli.app import app
from rag_pgvector.errors import (
    CollectionMismatchError,
    CollectionNotFoundError,
    ConfigError,
    LoadError,
    MissingDependencyError,
)
from rag_pgvector.ingest import ingest
from rag_pgvector.ingest.exporting import export_file, header_of, import_file
from rag_pgvector.ingest.importers import chroma_chunks, import_chunks, json_chunks, node_chunks, parquet_chunks

VECTORS = np.random.default_rng(1).standard_normal((5, 8)).astype(np.float32)
TEXTS = [f"Text {i} é 👍" for i in range(5)]


def embed(texts: list[str]) -> list[Any]:
    return [np.random.default_rng(list(text.encode())).standard_normal(8) for text in texts]


def unwanted(texts: list[str]) -> list[Any]:
    raise AssertionError(f"{texts} were embedded")


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    with Database(database_url) as db:
        yield db


def made(db: Database, name: str, **config: Any) -> Collection:
    return db.collection(name, config=CollectionConfig(**{"dimensions": 8, **config}), embedder=embed)


def assert_adopted(docs: Collection, ids: list[str]) -> None:
    chunks = {chunk.id: chunk for chunk in docs.get(ids, embeddings=True)}
    for i, id_ in enumerate(ids):
        assert chunks[id_].content == TEXTS[i]
        assert np.asarray(chunks[id_].embedding, dtype=np.float32).tobytes() == VECTORS[i].tobytes()
        assert chunks[id_].metadata["n"] == i


# --------------------------------------------------------------------------------------------------------- our exports


def whole(docs: Collection) -> tuple[Any, Any]:
    chunks = docs.get([str(chunk.id) for chunk in docs.list(limit=1_000)], embeddings=True)
    told = {c.id: (c, np.asarray(c.embedding).tobytes() if c.embedding is not None else None, c.node) for c in chunks}
    ids = [document.id for document in docs.documents()]
    return told, {id_: (docs.document(id_), docs.embedded_hashes(id_)) for id_ in ids}


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
@pytest.mark.parametrize("storage", ["vector", "halfvec"])
def test_out_and_in_again(db: Database, tmp_path: Path, suffix: str, storage: Any) -> None:
    docs = made(db, "docs", storage=storage)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.md").write_text("# A\n\nText one.\n\n## B\n\nText two é.\n")
    (tmp_path / "files" / "t.csv").write_text("k,v\nx,1\ny,2.5\n")
    ingest(docs, tmp_path / "files")
    docs.add([Chunk(id="tiny", content="x", embedding=np.full(8, 1e-7, dtype=np.float32), metadata={"a": [1, None]})])
    path = tmp_path / f"out.{suffix}"
    assert export_file(docs, path) == {"documents": 2, "chunks": 5}
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".")] == []
    header = header_of(path)
    assert header is not None
    assert (header["dimensions"], header["storage"]) == (8, storage)
    copy = made(db, "copy", storage=storage)
    assert import_file(copy, path).added == 5
    assert whole(copy) == whole(docs)
    assert import_file(copy, path).unchanged == 5
    assert ingest(copy, tmp_path / "files").embedded == 0
    with pytest.raises(CollectionMismatchError):
        import_file(made(db, "other", dimensions=4), path)
    cut = path.read_bytes()[:-60]
    path.write_bytes(cut)
    with pytest.raises(LoadError):
        import_file(copy, path)


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_a_tenants_part(tenant_db: Database, tmp_path: Path, suffix: str) -> None:
    shared = made(tenant_db, "shared", tenancy="multi")
    for tenant in ("acme", "bolt"):
        shared.for_tenant(tenant).add([Chunk(id="1", content=f"of {tenant}")])
    shared.for_tenant("acme", scope="part").add([Chunk(id="1", content="of a part")])
    path = tmp_path / f"acme.{suffix}"
    assert export_file(shared.for_tenant("acme"), path)["chunks"] == 2
    assert b"bolt" not in path.read_bytes()
    import_file(shared.for_tenant("apex"), path)
    assert sorted(c.content for c in shared.for_tenant("apex").list()) == ["of a part", "of acme"]


# --------------------------------------------------------------------------------------------------- files of others


def test_parquet_with_embeddings(db: Database, tmp_path: Path) -> None:
    table = pyarrow.table(
        {
            "uuid": [f"u{i}" for i in range(5)],
            "text": TEXTS,
            "vector": [list(map(float, v)) for v in VECTORS],
            "n": list(range(5)),
            "file_name": ["a.txt"] * 5,
        }
    )
    pyarrow.parquet.write_table(table, tmp_path / "r.parquet")
    docs = db.collection("docs", config=CollectionConfig(dimensions=8), embedder=unwanted)
    report = import_chunks(docs, parquet_chunks(tmp_path / "r.parquet"))
    assert (report.rows, report.added, report.without_embedding) == (5, 5, 0)
    assert_adopted(docs, [f"u{i}" for i in range(5)])
    assert docs.get(["u1"])[0].source == "a.txt"
    assert import_chunks(docs, parquet_chunks(tmp_path / "r.parquet")).unchanged == 5
    with pytest.raises(LoadError, match="'nope'"):
        list(parquet_chunks(tmp_path / "r.parquet", id_column="nope"))
    (tmp_path / "bad.parquet").write_bytes(b"PAR1")
    with pytest.raises(LoadError, match="Parquet"):
        list(parquet_chunks(tmp_path / "bad.parquet"))


@pytest.mark.parametrize("as_list", [True, False])
def test_json_with_embeddings(db: Database, tmp_path: Path, as_list: bool) -> None:
    records = [
        {"id": i, "page_content": TEXTS[i], "embedding": VECTORS[i].tolist(), "metadata": {"n": i}} for i in range(5)
    ]
    path = tmp_path / "r.json"
    path.write_text(json.dumps(records) if as_list else "\n".join(map(json.dumps, records)))
    docs = db.collection("docs", config=CollectionConfig(dimensions=8), embedder=unwanted)
    import_chunks(docs, json_chunks(path))
    assert_adopted(docs, [str(i) for i in range(5)])
    for wrong, reason in (
        ("[1]", "object"),
        ("{", "no JSON"),
        ('{"id": 1, "text": "x", "embedding": [NaN]}', "finite"),
    ):
        path.write_text(wrong)
        with pytest.raises(LoadError, match=reason):
            list(json_chunks(path))


def test_nodes_with_an_npy(db: Database, tmp_path: Path) -> None:
    nodes = [
        {
            "id_": f"n{i}",
            "text": TEXTS[i],
            "metadata": {"n": i},
            "start_char_idx": i,
            "end_char_idx": i + 9,
            "relationships": {"1": {"node_id": "doc"}},
        }
        for i in range(5)
    ]
    (tmp_path / "nodes.json").write_text(json.dumps(nodes))
    np.save(tmp_path / "vectors.npy", VECTORS)
    docs = db.collection("docs", config=CollectionConfig(dimensions=8), embedder=unwanted)
    import_chunks(docs, node_chunks(tmp_path))
    assert_adopted(docs, [f"n{i}" for i in range(5)])
    assert (docs.get(["n2"])[0].char_end, docs.get(["n2"])[0].document_id) == (11, "doc")
    np.save(tmp_path / "vectors.npy", VECTORS[:3])
    with pytest.raises(LoadError, match="do not belong together"):
        list(node_chunks(tmp_path))


class Bomb:
    def __reduce__(self) -> Any:
        return (pytest.fail, ("a pickle was read",))


def test_no_pickle_is_read(tmp_path: Path) -> None:
    (tmp_path / "nodes.json").write_text('[{"id": "1", "text": "x"}]')
    np.save(tmp_path / "vectors.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    with pytest.raises(LoadError, match="no plain array"):
        list(node_chunks(tmp_path))
    (tmp_path / "index.pkl").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(LoadError, match="reconstruct_n"):
        list(node_chunks(tmp_path))


def test_what_llamaindex_persists(db: Database, tmp_path: Path) -> None:
    from llama_index.core import StorageContext, VectorStoreIndex
    from llama_index.core.embeddings import MockEmbedding
    from llama_index.core.schema import TextNode

    nodes = [TextNode(text=TEXTS[i], id_=f"n{i}", metadata={"n": i}, embedding=VECTORS[i].tolist()) for i in range(5)]
    context = StorageContext.from_defaults()
    VectorStoreIndex(nodes, storage_context=context, embed_model=MockEmbedding(8), store_nodes_override=True)
    context.persist(str(tmp_path))
    docs = db.collection("docs", config=CollectionConfig(dimensions=8), embedder=unwanted)
    import_chunks(docs, node_chunks(tmp_path))
    assert_adopted(docs, [f"n{i}" for i in range(5)])
    (tmp_path / "default__vector_store.json").write_bytes(b"IxFI\x00\xff")
    with pytest.raises(LoadError, match="FAISS"):
        list(node_chunks(tmp_path))


def test_chroma(db: Database, tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="PersistentClient"):
        list(chroma_chunks(tmp_path))
    (tmp_path / "chroma.sqlite3").touch()
    try:
        import chromadb
    except ImportError:
        with pytest.raises(MissingDependencyError, match="chroma"):
            list(chroma_chunks(tmp_path))
        return
    folder = tmp_path / "store"
    settings = chromadb.Settings(anonymized_telemetry=False)  # one process opens a folder with one kind of settings
    client = chromadb.PersistentClient(path=str(folder), settings=settings)
    stored = client.create_collection("notes", embedding_function=None)
    stored.add(
        ids=[f"c{i}" for i in range(5)],
        documents=TEXTS,
        embeddings=VECTORS,
        metadatas=[{"n": i, "source": "s"} for i in range(5)],
    )
    docs = db.collection("docs", config=CollectionConfig(dimensions=8), embedder=unwanted)
    import_chunks(docs, chroma_chunks(folder))
    assert_adopted(docs, [f"c{i}" for i in range(5)])
    with pytest.raises(CollectionNotFoundError, match="notes"):
        list(chroma_chunks(folder, "other"))


def test_the_verbs(db: Database, database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def done(*arguments: str) -> Any:
        with pytest.raises(SystemExit) as ended:
            app([*arguments, "--url", database_url, "--json"])
        assert ended.value.code in (0, None)
        return json.loads(capsys.readouterr().out)

    (tmp_path / "nodes.json").write_text(json.dumps([{"id": f"n{i}", "text": t} for i, t in enumerate(TEXTS)]))
    np.save(tmp_path / "v.npy", VECTORS)
    assert done("import", "nodes", str(tmp_path), "--collection", "docs")["added"] == 5
    assert done("import", "faiss", str(tmp_path), "--collection", "docs")["unchanged"] == 5
    for file in ("o.parquet", "o.jsonl"):
        verb = "parquet" if file.endswith("parquet") else "json"
        assert done("export", str(tmp_path / file), "--collection", "docs") == {"documents": 0, "chunks": 5}
        assert done("import", verb, str(tmp_path / file), "--collection", f"new {file}")["added"] == 5


@pytest.mark.parametrize("name", ["out.weird", "out", "out.csv", "out.parquet.gz"])
def test_an_unknown_ending_is_refused(docs: Collection, tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"export to {name!r}: use a name that ends in .parquet")):
        export_file(docs, tmp_path / name)
    assert not list(tmp_path.iterdir())
