"""Foreign embedders behind the Embedder protocol, their results checked. No framework is imported: shapes decide."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np

from rag_pgvector.embedding.fingerprint import PROBE
from rag_pgvector.embedding.local import SentenceTransformerEmbedder
from rag_pgvector.embedding.protocol import Embedder, Vectors, as_texts
from rag_pgvector.errors import ConfigError, EmbeddingError, RagPgvectorError

__all__ = ["CheckedEmbedder", "as_embedder"]

_Documents: TypeAlias = Callable[[list[str]], Any]
_Query: TypeAlias = Callable[[str], Any]


def as_embedder(obj: Any) -> Embedder:
    """Anything that embeds, as an Embedder whose results are checked.

    Accepts an Embedder, a LangChain ``Embeddings``, a LlamaIndex ``BaseEmbedding``, or a function from a list of texts
    to as many vectors. Asynchronous methods are used where the object has them, threads otherwise. Raises ConfigError.
    """
    if isinstance(obj, (CheckedEmbedder, SentenceTransformerEmbedder)):
        return obj
    if inspect.isclass(obj):
        raise ConfigError(f"embedder={obj.__name__} is a class: give an instance of it")
    if _has(obj, "embed_documents", "embed_query"):
        return CheckedEmbedder(
            _name(obj),
            documents=obj.embed_documents,
            query=obj.embed_query,
            adocuments=getattr(obj, "aembed_documents", None),
            aquery=getattr(obj, "aembed_query", None),
            token_offsets=getattr(obj, "token_offsets", None),
            count_tokens=getattr(obj, "count_tokens", None),
            queries=getattr(obj, "embed_queries", None),
            aqueries=getattr(obj, "aembed_queries", None),
            max_tokens=_max_tokens(obj),
        )
    if _has(obj, "get_text_embedding_batch", "get_query_embedding"):
        return CheckedEmbedder(
            _name(obj),
            documents=obj.get_text_embedding_batch,
            query=obj.get_query_embedding,
            adocuments=getattr(obj, "aget_text_embedding_batch", None),
            aquery=getattr(obj, "aget_query_embedding", None),
            max_tokens=_max_tokens(obj),
        )
    if inspect.iscoroutinefunction(obj):
        raise ConfigError(
            f"embedder={_name(obj)} is a coroutine function, which the synchronous methods cannot call: give an object "
            "with embed_documents, embed_query, aembed_documents and aembed_query"
        )
    if callable(obj):
        return CheckedEmbedder(_name(obj), documents=obj)
    raise ConfigError(
        f"embedder={obj!r:.80} ({type(obj).__name__}) does not embed: give a LangChain Embeddings, a LlamaIndex "
        "BaseEmbedding, or a function from a list of texts to a list of vectors"
    )


def _max_tokens(obj: Any) -> int | None:
    """How many tokens a model reads of a text, where its wrapper tells: by itself (LlamaIndex: ``max_length``), or by
    the SentenceTransformer that it holds (LangChain's HuggingFaceEmbeddings)."""
    held = getattr(obj, "_client", None)
    for holder, name in ((obj, "max_tokens"), (obj, "max_length"), (held, "max_seq_length")):
        found = getattr(holder, name, None)
        if type(found) is int and found > 0:
            return found
    return None


class CheckedEmbedder:
    """The Embedder protocol over functions. Every result is one finite vector per text, or an EmbeddingError.

    ``query`` defaults to ``documents`` of one text, the asynchronous functions to the others in a thread. The number of
    dimensions is that of the first result; asked for earlier, it embeds a probe. Embedding no texts calls nothing and
    gives ``(0, dimensions)``, or ``(0, 0)`` as long as the dimensions are unknown.
    """

    def __init__(
        self,
        name: str,
        *,
        documents: _Documents,
        query: _Query | None = None,
        adocuments: Callable[[list[str]], Awaitable[Any]] | None = None,
        aquery: Callable[[str], Awaitable[Any]] | None = None,
        token_offsets: Callable[[str], list[tuple[int, int]]] | None = None,
        count_tokens: Callable[[str], int] | None = None,
        queries: _Documents | None = None,
        aqueries: Callable[[list[str]], Awaitable[Any]] | None = None,
        max_tokens: int | None = None,
    ) -> None:
        self.name = name
        self.max_tokens = max_tokens
        self._documents, self._query = documents, query
        self._adocuments, self._aquery = adocuments, aquery
        self._queries, self._aqueries = queries, aqueries
        self._dimensions: int | None = None
        if token_offsets is not None:
            self.token_offsets = token_offsets
        if count_tokens is not None:
            self.count_tokens = count_tokens

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    @property
    def dimensions(self) -> int:
        if self._dimensions is None:
            self.embed_documents([PROBE])
        assert self._dimensions is not None
        return self._dimensions

    def embed_documents(self, texts: Iterable[str]) -> Vectors:
        asked = as_texts(texts)
        if not asked:
            return self._nothing()
        with self._translated():
            vectors = self._documents(asked)
        return self._checked(vectors, len(asked))

    async def aembed_documents(self, texts: Iterable[str]) -> Vectors:
        if self._adocuments is None:
            return await asyncio.to_thread(self.embed_documents, texts)
        asked = await asyncio.to_thread(as_texts, texts)
        if not asked:
            return self._nothing()
        with self._translated():
            vectors = await self._adocuments(asked)
        return self._checked(vectors, len(asked))

    def embed_query(self, text: str) -> Vectors:
        asked = as_texts([text])
        if self._query is None:
            found: Vectors = self.embed_documents(asked)[0]
            return found
        with self._translated():
            vector = self._query(asked[0])
        return self._checked_one(vector)

    async def aembed_query(self, text: str) -> Vectors:
        if self._aquery is None:
            return await asyncio.to_thread(self.embed_query, text)
        asked = as_texts([text])
        with self._translated():
            vector = await self._aquery(asked[0])
        return self._checked_one(vector)

    def embed_queries(self, texts: Iterable[str]) -> Vectors:
        asked = as_texts(texts)
        if not asked:
            return self._nothing()
        if self._queries is not None:
            with self._translated():
                vectors = self._queries(asked)
            return self._checked(vectors, len(asked))
        return self.embed_documents(asked) if self._query is None else np.stack([*map(self.embed_query, asked)])

    async def aembed_queries(self, texts: Iterable[str]) -> Vectors:
        if self._aqueries is not None and (asked := await asyncio.to_thread(as_texts, texts)):
            with self._translated():
                vectors = await self._aqueries(asked)
            return self._checked(vectors, len(asked))
        if self._aquery is not None and (asked := as_texts(texts)):
            return np.stack(await asyncio.gather(*map(self.aembed_query, asked)))
        return await asyncio.to_thread(self.embed_queries, texts)

    def _nothing(self) -> Vectors:
        return np.empty((0, self._dimensions or 0), dtype=np.float32)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except RagPgvectorError:
            raise
        except Exception as error:
            raise EmbeddingError(f"embedder {self.name!r} failed: {type(error).__name__}: {error}") from error

    def _checked_one(self, vector: Any) -> Vectors:
        found: Vectors = self._checked([vector], 1)[0]
        return found

    def _checked(self, vectors: Any, count: int) -> Vectors:
        """``vectors`` as a ``(count, dimensions)`` matrix."""
        who = f"embedder {self.name!r}"
        if not isinstance(vectors, Iterable):
            raise EmbeddingError(
                f"{who} returned {type(vectors).__name__} for {count} texts: it must return one vector per text"
            )
        with self._translated():
            vectors = list(vectors)
        if len(vectors) != count:
            raise EmbeddingError(f"{who} returned {len(vectors)} vectors for {count} texts: one per text is needed")
        dimensions = self._dimensions
        rows = []
        for i, vector in enumerate(vectors):
            try:
                with np.errstate(over="ignore"):
                    row = np.asarray(vector, dtype=np.float32)
            except (TypeError, ValueError, RuntimeError) as error:
                raise EmbeddingError(
                    f"{who}, text {i}: {type(vector).__name__} is not a list of numbers ({error})"
                ) from error
            if row.ndim != 1 or not len(row):
                raise EmbeddingError(f"{who}, text {i}: an array of shape {row.shape} is not one vector")
            dimensions = dimensions or len(row)
            if len(row) != dimensions:
                raise EmbeddingError(f"{who}, text {i}: {len(row)} dimensions, vectors before it had {dimensions}")
            if not np.isfinite(row).all():
                at = int(np.flatnonzero(~np.isfinite(row))[0])
                raise EmbeddingError(f"{who}, text {i}: {row[at]} at position {at}, every number must be finite")
            rows.append(row)
        self._dimensions = dimensions
        return np.stack(rows)


def _has(obj: Any, *methods: str) -> bool:
    return all(callable(getattr(obj, method, None)) for method in methods)


def _name(obj: Any) -> str:
    """The model's name where the object tells it (LlamaIndex's default is "unknown"), else the object's own."""
    for attribute in ("name", "model_name", "model"):
        value = getattr(obj, attribute, None)
        if isinstance(value, str) and value not in ("", "unknown"):
            return value
    return str(getattr(obj, "__qualname__", type(obj).__name__))
