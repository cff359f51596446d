"""Embeddings kept on disk between runs: measuring again costs no embedding again."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rag_pgvector.embedding.protocol import Vectors, as_texts
from rag_pgvector.evals.wrapping import WrappingEmbedder

__all__ = ["KeptVectors"]

#: Texts that are embedded between two commits: what a killed run loses.
_BATCH = 256


class KeptVectors(WrappingEmbedder):
    """An embedder that looks into a file first. Give it to ``Database.collection(embedder=...)``.

    The file is SQLite: SHA-256 of the model's name, the kind (document or question) and the text; the vector as
    float32. A text that is known costs no model, so that times of questions mean nothing. Several processes may share
    a file.

    Args:
        file: Made if it does not exist.
        inner: Whatever ``Database.collection`` takes; ``None`` is the embedder of the settings.
        questions: Whether questions are kept, too.
    """

    def __init__(self, file: Path, inner: Any = None, *, questions: bool = True) -> None:
        super().__init__(inner)
        self._questions = questions
        self._lock = threading.Lock()
        file.parent.mkdir(parents=True, exist_ok=True)
        self._file = sqlite3.connect(file, timeout=60, check_same_thread=False)
        self._file.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL)")

    def _key(self, kind: str, text: str) -> bytes:
        return hashlib.sha256(f"{self.name}\0{kind}\0{text}".encode(errors="surrogatepass")).digest()

    def _known(self, keys: Sequence[bytes]) -> dict[bytes, Vectors]:
        found = {}
        with self._lock:
            for key in dict.fromkeys(keys):
                row = self._file.execute("SELECT vector FROM vectors WHERE key = ?", (key,)).fetchone()
                if row is not None:
                    found[key] = np.frombuffer(row[0], dtype=np.float32)
        return found

    def _keep(self, vectors: Iterable[tuple[bytes, Vectors]]) -> None:
        with self._lock, self._file:
            self._file.executemany(
                "INSERT OR IGNORE INTO vectors VALUES (?, ?)",
                [(key, np.asarray(vector, dtype=np.float32).tobytes()) for key, vector in vectors],
            )

    def embed_documents(self, texts: Iterable[str]) -> Vectors:
        asked = as_texts(texts)
        if not asked:
            return self.inner.embed_documents(asked)
        keys = [self._key("document", text) for text in asked]
        known = self._known(keys)
        new = {key: text for key, text in zip(keys, asked, strict=True) if key not in known}
        missing = list(new)
        for start in range(0, len(missing), _BATCH):
            part = missing[start : start + _BATCH]
            vectors = dict(zip(part, self.inner.embed_documents([new[key] for key in part]), strict=True))
            self._keep(vectors.items())
            known |= vectors
        return np.stack([known[key] for key in keys])

    def embed_query(self, text: str) -> Vectors:
        if not self._questions:
            return self.inner.embed_query(text)
        key = self._key("question", text)
        if (found := self._known([key]).get(key)) is not None:
            return found
        vector = self.inner.embed_query(text)
        self._keep([(key, vector)])
        return vector

    async def aembed_documents(self, texts: Iterable[str]) -> Vectors:
        return await asyncio.to_thread(self.embed_documents, texts)

    async def aembed_query(self, text: str) -> Vectors:
        return await asyncio.to_thread(self.embed_query, text)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
