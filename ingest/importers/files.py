"""Other stores' files as chunks with their embeddings: Parquet, JSON lines, nodes with an .npy, Chroma's folder.

Nothing is unpickled, ever: a pickle runs what it likes. FAISS stores of LangChain are pickles and are refused with what
to do.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rag_pgvector.errors import CollectionNotFoundError, LoadError, MissingDependencyError
from rag_pgvector.types import Chunk, WriteCounts

if TYPE_CHECKING:
    from rag_pgvector.collection import Collection

__all__ = ["FileReport", "chroma_chunks", "import_chunks", "json_chunks", "node_chunks", "parquet_chunks", "peeked"]

_BATCH = 2_000
_IDS = ("id", "id_", "node_id", "chunk_id", "uuid", "_id", "doc_id")
_CONTENTS = ("content", "text", "page_content", "document", "chunk", "body", "passage")
_EMBEDDINGS = ("embedding", "vector", "embeddings", "emb", "values")
_METADATA = ("metadata", "meta", "payload", "extra_info", "cmetadata", "langchain_metadata")
_SOURCES = ("source", "file_path", "file_name", "url")

#: How a FAISS store of LangChain becomes files that can be read without running them.
_FAISS = (
    "a FAISS store keeps its texts in a pickle, which is not read here. In the program that made it: "
    "json.dump([{'id': i, 'text': d.page_content, 'metadata': d.metadata} for i, d in "
    "((store.index_to_docstore_id[n], store.docstore.search(store.index_to_docstore_id[n])) "
    "for n in range(store.index.ntotal))], open('nodes.json', 'w')) and "
    "numpy.save('vectors.npy', store.index.reconstruct_n(0, store.index.ntotal)); then import that folder"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileReport:
    """What an import of files did, in rows; ``without_embedding`` were embedded here."""

    collection: str
    rows: int = 0
    added: int = 0
    updated: int = 0
    unchanged: int = 0
    without_embedding: int = 0


def import_chunks(collection: Collection, chunks: Iterable[Chunk]) -> FileReport:
    """Store chunks: those that have an embedding keep it, the others are embedded by the collection's embedder.

    Raises ChunkError, DimensionError for what cannot be stored, EmbeddingError.
    """
    counts, rows, bare = WriteCounts(), 0, 0
    iterator = iter(chunks)
    while batch := list(islice(iterator, _BATCH)):
        given = [chunk for chunk in batch if chunk.embedding is not None]
        rest = [chunk for chunk in batch if chunk.embedding is None]
        counts += collection.upsert(given) if given else WriteCounts()
        counts += collection.upsert(rest) if rest else WriteCounts()
        rows, bare = rows + len(batch), bare + len(rest)
    return FileReport(
        collection=collection.name,
        rows=rows,
        added=counts.added,
        updated=counts.updated,
        unchanged=counts.unchanged,
        without_embedding=bare,
    )


def peeked(chunks: Iterator[Chunk]) -> tuple[int | None, Iterator[Chunk]]:
    """The dimensions of the first embedding among the first chunks, and all the chunks."""
    first = list(islice(chunks, _BATCH))
    found = next((len(chunk.embedding) for chunk in first if chunk.embedding is not None), None)
    return found, chain(first, chunks)


# ---------------------------------------------------------------------------------------------------------- one record


def _name(names: Iterable[str], given: str | None, usual: tuple[str, ...], source: str, what: str) -> str | None:
    """The column that is meant: the one that was named, else the first of the usual ones."""
    known = list(names)
    if given is not None:
        if given not in known:
            raise LoadError(source, f"there is no column {given!r} (there are: {', '.join(map(repr, known[:30]))})")
        return given
    found = next((name for name in usual if name in known), None)
    if found is None and what:
        raise LoadError(source, f"no column holds the {what}: name it (there are: {', '.join(map(repr, known[:30]))})")
    return found


def _record(
    record: Mapping[str, Any], columns: tuple[str | None, str | None, str | None, str | None], source: str, where: str
) -> Chunk | None:
    """A record as a chunk; None for one without a text. What has no column of ours is metadata."""
    id_, content, embedding, metadata = columns
    text = record.get(content or "")
    if not isinstance(text, str) or not text.strip():
        return None
    told = record.get(metadata) if metadata else None
    if isinstance(told, str):
        try:
            told = json.loads(told)
        except ValueError:
            told = {"metadata": told}
    values = dict(told) if isinstance(told, Mapping) else {}
    values |= {k: v for k, v in record.items() if k not in (*columns, *_PLACE) and v is not None}
    vector = record.get(embedding or "")
    place: dict[str, Any] = {name: record.get(name) for name in _PLACE}
    if place["source"] is None:
        place["source"] = next((str(values[name]) for name in _SOURCES if values.get(name)), None)
    if id_ is None or record.get(id_) is None:
        raise LoadError(source, "it has no id: name the column that tells rows apart", where)
    if vector is not None and (len(vector) == 0 or not all(map(math.isfinite, vector))):
        raise LoadError(source, "its embedding is empty or not finite", where)
    return Chunk(
        id=str(record[id_]),
        content=text,
        embedding=None if vector is None else np.asarray(vector, dtype=np.float32),
        metadata={name: _plain(value) for name, value in values.items()},
        **place,
    )


_PLACE = ("document_id", "source", "page_or_row", "char_start", "char_end")


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)


# ------------------------------------------------------------------------------------------------------------- formats


def parquet_chunks(
    path: Path,
    *,
    id_column: str | None = None,
    content_column: str | None = None,
    embedding_column: str | None = None,
    metadata_column: str | None = None,
) -> Iterator[Chunk]:
    """Rows of a Parquet file with a list of numbers per row. The columns are found by their usual names."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingDependencyError("pyarrow", "ingest") from error
    try:
        file = pyarrow.parquet.ParquetFile(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise LoadError(path.name, f"it cannot be opened as Parquet ({str(error)[:200]})") from error
    with file:
        names = file.schema_arrow.names
        columns = (
            _name(names, id_column, _IDS, path.name, "id"),
            _name(names, content_column, _CONTENTS, path.name, "text"),
            _name(names, embedding_column, _EMBEDDINGS, path.name, "embedding"),
            _name(names, metadata_column, _METADATA, path.name, ""),
        )
        number = 0
        for batch in file.iter_batches(batch_size=_BATCH):
            for record in batch.to_pylist():
                number += 1
                chunk = _record(record, columns, path.name, f"row {number}")
                if chunk is not None:
                    yield chunk


def json_chunks(path: Path, **columns: str | None) -> Iterator[Chunk]:
    """Objects with an embedding each, one a line or in a list."""
    with path.open(encoding="utf-8-sig") as stream:
        head = stream.read(1).strip()
        stream.seek(0)
        records = enumerate(_json(stream.read(), path.name) if head == "[" else _json_lines(stream, path.name), 1)
        found: tuple[str | None, str | None, str | None, str | None] | None = None
        for number, record in records:
            if not isinstance(record, dict):
                raise LoadError(path.name, "an object was expected", f"record {number}")
            if found is None:
                found = (
                    _name(record, columns.get("id_column"), _IDS, path.name, "id"),
                    _name(record, columns.get("content_column"), _CONTENTS, path.name, "text"),
                    _name(record, columns.get("embedding_column"), _EMBEDDINGS, path.name, ""),
                    _name(record, columns.get("metadata_column"), _METADATA, path.name, ""),
                )
            chunk = _record(record, found, path.name, f"record {number}")
            if chunk is not None:
                yield chunk


def _json(text: str, source: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LoadError(source, f"it is no JSON ({str(error)[:100]})") from error


def _json_lines(lines: Iterable[str], source: str) -> Iterator[Any]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield json.loads(line)
            except (ValueError, RecursionError) as error:
                raise LoadError(source, f"it is no JSON ({str(error)[:100]})", f"line {number}") from error


def node_chunks(folder: Path) -> Iterator[Chunk]:
    """A folder of nodes.json (a list of nodes, or of records with id, text and metadata) and one .npy of their vectors,
    row by row; or LlamaIndex's docstore.json with default__vector_store.json."""
    name = folder.name
    if list(folder.glob("*.pkl")) or list(folder.glob("*.pickle")):
        raise LoadError(name, _FAISS)
    if (folder / "docstore.json").is_file():
        yield from _docstore_chunks(folder)
        return
    if not (folder / "nodes.json").is_file():
        raise LoadError(name, "no nodes.json, no docstore.json: nothing here that is known")
    arrays = sorted(folder.glob("*.npy"))
    if len(arrays) != 1:
        raise LoadError(name, f"{len(arrays)} .npy files beside nodes.json: leave the one with the vectors")
    nodes = _json((folder / "nodes.json").read_text(encoding="utf-8"), f"{name}/nodes.json")
    nodes = list(nodes.values()) if isinstance(nodes, dict) else nodes
    try:
        vectors = np.load(arrays[0], mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise LoadError(f"{name}/{arrays[0].name}", f"it is no plain array ({error})") from error
    if vectors.ndim != 2 or not isinstance(nodes, list) or len(nodes) != len(vectors):
        held = len(nodes) if isinstance(nodes, list) else "no"
        raise LoadError(name, f"{held} nodes and vectors of shape {vectors.shape}: they do not belong together")
    for number, (node, vector) in enumerate(zip(nodes, vectors, strict=True)):
        yield from _node(node, vector, f"{name}/nodes.json", f"node {number}")


def _docstore_chunks(folder: Path) -> Iterator[Chunk]:
    store = folder / "default__vector_store.json"
    try:
        vectors = json.loads(store.read_text(encoding="utf-8")).get("embedding_dict", {})
    except (OSError, ValueError, AttributeError) as error:  # FAISS writes its own format under this name
        raise LoadError(folder.name, f"{store.name} is no JSON of vectors. {_FAISS}") from error
    docstore = _json((folder / "docstore.json").read_text(encoding="utf-8"), f"{folder.name}/docstore.json")
    for id_, entry in docstore.get("docstore/data", {}).items():
        if id_ in vectors:  # the rest are documents that nodes were cut from
            yield from _node(entry.get("__data__", entry), vectors[id_], f"{folder.name}/docstore.json", f"node {id_}")


def _node(node: Any, vector: Any, source: str, where: str) -> Iterator[Chunk]:
    if isinstance(node, str):
        node = _json(node, source)
    if not isinstance(node, dict):
        raise LoadError(source, "no object", where)
    if isinstance(node.get("text_resource"), dict):  # what newer versions of LlamaIndex write
        node = {**node, "text": node["text_resource"].get("text")}
    found = _name(node, None, _IDS, source, "id"), _name(node, None, _CONTENTS, source, "text")
    metadata = _name(node, None, _METADATA, source, "")
    kept = {name: node[name] for name in (*found, metadata) if name}
    chunk = _record({**kept, "embedding": vector}, (*found, "embedding", metadata), source, where)
    if chunk is not None:
        ref = (node.get("relationships") or {}).get("1") or {}
        document = ref.get("node_id") if isinstance(ref, dict) else None
        spans = {"char_start": node.get("start_char_idx"), "char_end": node.get("end_char_idx")}
        whole = all(isinstance(at, int) for at in spans.values())
        yield replace(chunk, document_id=document, **(spans if whole else {}))


def chroma_chunks(folder: Path, collection: str | None = None) -> Iterator[Chunk]:
    """A collection of Chroma's persistent folder, read through chromadb itself (1.0 or newer; extra ``chroma``).

    Chroma may bring an older folder up to date by opening it: keep a copy. Raises LoadError, CollectionNotFoundError.
    """
    if not (folder / "chroma.sqlite3").is_file():
        raise LoadError(folder.name, "no chroma.sqlite3 in it: give the folder of Chroma's PersistentClient")
    try:
        import chromadb
    except ImportError as error:
        raise MissingDependencyError("chromadb", "chroma") from error
    try:
        client = chromadb.PersistentClient(str(folder), settings=chromadb.Settings(anonymized_telemetry=False))
        names = sorted(each.name for each in client.list_collections())
    except Exception as error:  # chromadb's own, of no common class
        raise LoadError(folder.name, f"chromadb cannot open it ({type(error).__name__}: {str(error)[:200]})") from error
    if collection is None and len(names) == 1:
        collection = names[0]
    if collection not in names:
        raise CollectionNotFoundError(
            f"{folder.name} has the collections {', '.join(names) or 'none'}: name one of them"
        )
    stored = client.get_collection(collection, embedding_function=None)
    include: Any = ["embeddings", "documents", "metadatas"]
    offset = 0
    while (page := stored.get(limit=_BATCH, offset=offset, include=include))["ids"]:
        offset += len(page["ids"])
        for id_, text, metadata, vector in zip(
            page["ids"], page["documents"], page["metadatas"], page["embeddings"], strict=True
        ):
            record = {"id": id_, "content": text, "metadata": metadata, "embedding": vector}
            chunk = _record(record, ("id", "content", "embedding", "metadata"), folder.name, f"id {id_!r}")
            if chunk is not None:
                yield chunk
