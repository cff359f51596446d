"""The embedder of one collection: found lazily, and proven to be the one that the stored vectors were made by."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from rag_pgvector import schema
from rag_pgvector.errors import DimensionError, EmbedderMismatchError
from rag_pgvector.table import Table

if TYPE_CHECKING:
    from rag_pgvector.database import Database
    from rag_pgvector.embedding import Embedder

__all__ = ["BoundEmbedder"]


class BoundEmbedder:
    """Holds what ``Database.collection(embedder=...)`` was given; ``None`` means the embedder of the settings."""

    def __init__(self, db: Database, table: Table, given: Any) -> None:
        self._db = db
        self._table = table
        self._given = given
        self._embedder: Embedder | None = None
        self._model: str | None = None
        self._lock = threading.Lock()
        #: time.monotonic() until which it is not asked for a question's vector, see patience.py.
        self.rests_until = 0.0

    @property
    def embedder(self) -> Embedder:
        if self._embedder is None:
            from rag_pgvector.embedding import resolve_embedder

            self._embedder = resolve_embedder(self._given)
        return self._embedder

    def proven(self) -> Embedder:
        """The embedder, after its vector of a fixed probe text was compared with the collection's.

        The first embedder of a collection becomes its own. Raises DimensionError, EmbedderMismatchError.
        """
        self.model()
        return self.embedder

    def model(self) -> str:
        """The name under which the collection knows its embedder, whatever wrapper brings the same model today."""
        if self._model is None:
            with self._lock:
                if self._model is None:
                    self._model = self._prove(self.embedder)
        return self._model

    @property
    def model_if_used(self) -> str:
        """``model()`` if anything was embedded here; "" where vectors can only have come from elsewhere."""
        return self._model or ""

    def _prove(self, embedder: Embedder) -> str:
        from rag_pgvector.embedding import fingerprint, same_model

        if not self._table.layout.native:  # nothing is written down about a peer's table
            return embedder.name
        name, dimensions = self._table.collection, self._table.config.dimensions
        probe = fingerprint(embedder)
        if len(probe) != dimensions:
            raise DimensionError(
                f"embedder {embedder.name!r} gives {len(probe)} dimensions, collection {name!r} has {dimensions}: use "
                "the embedder that made the collection, or a new collection"
            )
        numbers = [float(x) for x in probe]
        model, stored = self._db.run(
            lambda: schema.bind_embedder(self._table, embedder.name, numbers), atomic=True, retry=True
        )
        if not same_model(probe, np.asarray(stored, dtype=np.float32)):
            raise EmbedderMismatchError(
                f"collection {name!r} was embedded by {model!r}; {embedder.name!r} gives other vectors for the same "
                f"text: use the first, or switch by making a new collection with {embedder.name!r} and ingesting again"
            )
        return model
